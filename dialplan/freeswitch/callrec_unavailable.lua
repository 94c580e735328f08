-- callrec-pbx: ends a call that cannot be recorded, after a notice. Rendered by setup.

local common = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "callrec_common.lua")

common.run(function()
  if common.answer(session) then
    common.play(session, common.prompt_path(common.language(session), "unavailable"))
  end
end)
session:hangup("NORMAL_CLEARING")
