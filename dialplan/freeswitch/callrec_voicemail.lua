-- callrec-pbx: before `voicemail`. Rendered by setup.
--   <action application="lua" data="callrec_voicemail.lua [LINE]"/>
--     LINE: whose mailbox it is, where that is not the line that was offered
-- The listener records the message if the rules say so; nobody waits for it.

local common = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "callrec_common.lua")

common.run(function()
  if not common.answer(session) then  -- what still rings cannot be recorded
    return
  end
  local reached = common.argument(argv[1]) .. "/" .. string.format("%d", common.now_ms())
  common.set(session, "callrec_voicemail", reached)
  common.raise(session, "voicemail", "Callrec-Voicemail", reached)
end)
