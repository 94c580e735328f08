-- callrec-pbx: switches the profile of the user whose phone runs it, and says so. Rendered by setup.
--   <action application="lua" data="callrec_profile.lua CODE"/>

local common = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "callrec_common.lua")

local WAIT_MS = 2000

common.run(function()
  if not common.answer(session) then
    return
  end
  common.set(session, "callrec_profile_prompt", "")
  local prompt = ""
  if common.is_answering() then
    common.raise(session, "profile", "Callrec-Code", common.filter(argv[1], "0-9"))
    prompt = common.wait_for(session, "callrec_profile_prompt", WAIT_MS, common.on_channel(session))
  end
  if prompt == "" then
    prompt = common.default_prompt_path("profile_failed")
  end
  common.play(session, prompt)
end)
