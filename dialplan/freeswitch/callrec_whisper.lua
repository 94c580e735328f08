-- callrec-pbx: runs on a called leg that has answered, before it is put through. Rendered by setup.
-- callrec_offer.lua sees to that for `bridge` and `callcenter`. Whoever uses group_confirm_key for
-- something of his own runs it from there.

local FOLDER = debug.getinfo(1, "S").source:match("^@(.*/)")
local common = dofile(FOLDER .. "callrec_common.lua")

local MARGIN_MS = 1500  -- FreeSWITCH counts timeouts in whole seconds

-- The leg that was offered: that of `bridge`, or the member of a queue.
local function caller()
  for _, name in ipairs({"cc_member_session_uuid", "originating_leg_uuid", "originator",
    "ent_originate_aleg_uuid", "signal_bond"}) do
    local uuid = common.leg_id(common.var(session, name))
    if common.exists(uuid) and common.var_of(uuid, "callrec_offer") ~= "" then
      return uuid
    end
  end
  return nil
end

-- Time limits end also what has answered and is not yet put through. The limit of a single leg does
-- not, by group_confirm_cancel_timeout; but `user/` makes it one of the whole.
local function must_be_over(uuid)
  local created_ms = (tonumber(common.var(session, "created_time")) or 0) / 1000
  if created_ms == 0 then
    return nil
  end
  local limit_s = 60
  local function at_most(text)
    limit_s = math.min(limit_s, tonumber(text) or limit_s)
  end
  at_most(common.var(session, "originate_timeout"))
  at_most(common.var(session, "call_timeout"))
  if common.var(session, "dialed_user") ~= "" then
    at_most(common.var(session, "leg_timeout"))
  end
  if common.var(session, "cc_member_session_uuid") == "" then
    at_most(common.var_of(uuid, "call_timeout"))
  end
  return created_ms + limit_s * 1000 - MARGIN_MS
end

local function to_line(uuid, until_ms)
  local whisper = common.var_of(uuid, "callrec_whisper")
  if whisper == "" then
    return
  end
  local language = common.var_of(uuid, "callrec_language")
  local path = language == "" and common.default_prompt_path(whisper)
    or common.prompt_path(language, whisper)
  if until_ms and common.now_ms() + common.length_ms(path) > until_ms then
    return
  end
  if common.play(session, path) then
    common.raise(session, "whisper")
  end
end

local function to_outside(uuid, until_ms)
  local mode = common.var_of(uuid, "callrec_callee_ask")
  if mode == "" or mode == "none" then
    return
  end
  local came_to = dofile(FOLDER .. "callrec_ask.lua").ask(session, {
    mode = mode, language = common.var_of(uuid, "callrec_language"),
    prompt = common.var_of(uuid, "callrec_prompt"), until_ms = until_ms,
  })
  if came_to == "refused" and common.var_of(uuid, "callrec_on_refusal") == "hang_up" then
    session:hangup("NORMAL_CLEARING")
    came_to = "gone"
  end
  if came_to == "gone" then
    -- Else a list of gateways would call the same person again.
    common.hang_up(uuid)
  end
end

common.run(function()
  local uuid = caller()
  if not uuid then
    return
  end
  while not session:answered() and session:ready() do
    session:sleep(20)  -- early media: nobody hears us yet
  end
  if common.var_of(uuid, "callrec_callee") == "outside" then
    to_outside(uuid, must_be_over(uuid))
  else
    to_line(uuid, must_be_over(uuid))
  end
end)
