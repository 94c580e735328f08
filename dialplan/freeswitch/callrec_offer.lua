-- callrec-pbx: offers a call, before `bridge` or `callcenter`. Rendered by setup.
--   <action application="lua" data="callrec_offer.lua DIRECTION LINE DDI QUEUE"/>
--     DIRECTION: inbound, outbound or internal
--     LINE: who is called; for outbound calls who is calling; - where it is not known (a queue)
--     DDI, QUEUE: - or nothing where there is none
--   `dialled` as LINE or DDI stands for the number that was dialled. Never write a variable there
--   that a caller can fill: mod_lua runs an argument with \\' in it as a program (1.11.1).

local FOLDER = debug.getinfo(1, "S").source:match("^@(.*/)")
local common = dofile(FOLDER .. "callrec_common.lua")

local var, set = common.var, common.set
local WHISPER = "lua " .. FOLDER .. "callrec_whisper.lua"
local CONFIRM = {"group_confirm_key", "group_confirm_file", "group_confirm_cancel_timeout"}
local ON_ORIGINATE = "execute_on_originate_callrec"

-- Takes back what an offer before has set of FreeSWITCH's own.
local function forget_callee()
  local early = var(session, "callrec_early_media")
  if early ~= "" then
    set(session, early, "")
    set(session, "callrec_early_media", "")
  end
  if var(session, "group_confirm_file") == WHISPER then
    for _, name in ipairs(CONFIRM) do
      set(session, name, "")
    end
  end
end

-- What an offer before (the channel has been transferred since) has left.
local function start_clean()
  for _, name in ipairs({"callrec_decision", "callrec_ask", "callrec_whisper", "callrec_prompt",
    "callrec_voicemail"}) do
    set(session, name, "")
  end
  set(session, "callrec_callee_ask", "none")
  forget_callee()
end

local function offer_of(direction)
  local menu = var(session, "callrec_consent")
  local dialled = var(session, "destination_number")
  local function number(text)
    return common.argument(text == "dialled" and dialled or text)
  end
  return table.concat({
    direction,
    number(argv[2]),
    number(argv[3]),
    common.argument(argv[4]),
    common.filter(dialled, "0-9A-Za-z_+*#.%-"),
    (menu == "accepted" or menu == "declined") and menu or "",
  }, "/")
end

local function member_of(list, word)
  return ("," .. list .. ","):find("," .. word .. ",", 1, true) ~= nil
end

-- `bridge` and `callcenter` pass on to the called legs what these lists name.
local function export(lists, names)
  for _, list in ipairs(lists) do
    local exported = var(session, list)
    for _, name in ipairs(names) do
      if not member_of(exported, name) then
        exported = exported == "" and name or exported .. "," .. name
      end
    end
    set(session, list, exported)
  end
end

-- The keys of a called user are looked for on this leg, those of this leg's user on the called one.
local function prepare_keys(direction)
  if direction == "outbound" then
    common.unwatch(session)
  else
    common.watch(session)
  end
  if common.is_outside(session) then
    set(session, ON_ORIGINATE, "")
  else
    set(session, ON_ORIGINATE, "lua " .. FOLDER .. "callrec_keys.lua")
    export({"export_vars", "cc_export_vars"}, {ON_ORIGINATE})
    common.join_own_realm(session)
  end
end

-- Where the called party is to hear something, `bridge` and `callcenter` run a script on each leg
-- that answers, and wait for it: group_confirm_key. It is the answer that counts then, not a
-- carrier's announcement before it.
local function prepare_callee()
  local outside = var(session, "callrec_callee") == "outside"
  local ask = var(session, "callrec_callee_ask")
  if outside and (ask == "" or ask == "none")
    or not outside and var(session, "callrec_whisper") == ""
  then
    return
  end
  if var(session, "group_confirm_key") ~= "" then
    common.log("info", "group_confirm_key is set by others: they run callrec_whisper.lua, or nobody")
    return
  end
  set(session, "group_confirm_key", "exec")
  set(session, "group_confirm_file", WHISPER)
  set(session, "group_confirm_cancel_timeout", "true")
  export({"cc_export_vars"}, CONFIRM)  -- `bridge` takes them from this leg
  if var(session, "ignore_early_media") == "" and var(session, "bridge_early_media") == "" then
    local name = outside and "bridge_early_media" or "ignore_early_media"
    set(session, name, "true")
    set(session, "callrec_early_media", name)
  end
end

local function unanswered()
  common.raise(session, "unanswered")
  if common.ON_UNAVAILABLE == "hang_up" then
    dofile(FOLDER .. "callrec_unavailable.lua")
  end
end

local function main()
  local direction = common.filter(argv[1], "a-z")
  start_clean()
  set(session, "callrec_callee", direction == "outbound" and "outside" or "line")
  local offer = offer_of(direction)
  set(session, "callrec_offer", offer)
  if direction == "inbound" then
    set(session, "callrec_outside", "true")  -- also when transferred to the users' dialplan
  end
  prepare_keys(direction)
  common.raise(session, "offer", "Callrec-Offer", offer)
  -- A stale heartbeat means that nobody listens: do not wait at all.
  if not common.is_answering() then
    return unanswered()
  end
  if common.wait_for(session, "callrec_decision", common.WAIT_MS, common.on_channel(session)) == ""
  then
    return unanswered()
  end
  local mode = var(session, "callrec_ask")
  local came_to = ""
  if mode ~= "" and mode ~= "none" then
    came_to = dofile(FOLDER .. "callrec_ask.lua").ask(session, {
      mode = mode, language = common.language(session), prompt = var(session, "callrec_prompt"),
    })
  end
  if came_to == "refused" then
    set(session, "callrec_whisper", "")
    if var(session, "callrec_on_refusal") == "hang_up" then
      session:hangup("NORMAL_CLEARING")
    end
  end
  prepare_callee()
end

common.run(main)
