-- callrec-pbx: what its scripts share. Rendered by `callrec-pbx setup freeswitch`; changes made
-- here are lost on the next setup.
--
-- What a caller sends (number, name) is used nowhere in these scripts, and the number that was
-- dialled only when filtered. A call never depends on them: whatever fails in here, it goes on.

local M = {}

local SOUNDS = "@SOUNDS@"
local LANGUAGE = "@LANGUAGE@"
local STALE_S = tonumber("@STALE_S@") or 3
local KEYS = {
  {"pause", "@KEY_PAUSE@"}, {"start", "@KEY_START@"}, {"discard", "@KEY_DISCARD@"},
}

M.WAIT_MS = tonumber("@WAIT_MS@") or 500
M.ON_UNAVAILABLE = "@ON_UNAVAILABLE@"
M.FOLDER = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$")

local REALM = "callrec"
local POLL_MS = 20
local SETTLE_MS = 200  -- a phone that has just been answered does not hear at once
local RINGING = "%(1000,4000,425)"  -- to a caller whom we have answered; else he hears nothing

local api = freeswitch.API()

-- Lua 5.1 to 5.4 and mod_lua differ in what they give for a variable that is not set.
function M.var(session, name)
  return session:getVariable(name) or ""
end

function M.set(session, name, value)
  session:setVariable(name, value)
end

function M.now_ms()
  return tonumber(api:getTime()) or os.time() * 1000
end

function M.filter(text, alphabet)
  return (tostring(text or ""):gsub("[^" .. alphabet .. "]", ""))
end

-- A channel's id, "" for one that could be read as something else: with the SIP profile's
-- `inbound-use-callid-as-uuid` it is what the caller has chosen.
function M.leg_id(text)
  return (text or ""):match("^[0-9A-Za-z@._:%-]+$") or ""
end

-- An argument of the dialplan; `-` stands for an empty one.
function M.argument(text)
  local value = M.filter(text, "0-9A-Za-z_+*.%-")
  return value == "-" and "" or value
end

function M.log(level, text)
  freeswitch.consoleLog(level, "callrec: " .. text .. "\n")
end

-- Runs the work of a script. An error is logged, and the call goes on.
function M.run(work)
  local fine, problem = pcall(work)
  if not fine then
    M.log("err", tostring(problem))
  end
end

-- Raises an event of ours, with everything that is known of the channel. Not by the application
-- `event`: that one splits its argument, and would leave the text in the channel's variables.
function M.raise(session, subclass, header, value)
  local event = freeswitch.Event("CUSTOM", "callrec::" .. subclass)
  session:setEventData(event)
  if header then
    event:addHeader(header, value)
  end
  event:fire()
end

function M.is_answering()
  local beat = tonumber(freeswitch.getGlobalVariable("callrec_heartbeat") or "") or 0
  return math.floor(M.now_ms() / 1000) - beat <= STALE_S
end

-- Waits until a variable of the channel is set, and returns it; "" when the time is over.
-- `rest` sleeps for a moment: on the channel, where its audio would stand still otherwise.
function M.wait_for(session, name, limit_ms, rest)
  local until_ms = M.now_ms() + limit_ms
  local value = M.var(session, name)
  while value == "" and M.now_ms() < until_ms and session:ready() do
    rest(POLL_MS)
    value = M.var(session, name)
  end
  return value
end

function M.on_channel(session)
  return function(ms) session:sleep(ms) end
end

function M.language(session)
  local language = M.filter(M.var(session, "callrec_language"), "0-9A-Za-z%-")
  return language == "" and LANGUAGE or language
end

function M.prompt_path(language, prompt)
  return SOUNDS .. "/" .. M.filter(language, "0-9A-Za-z%-") .. "/" .. M.filter(prompt, "0-9a-z_")
    .. ".wav"
end

function M.default_prompt_path(prompt)
  return M.prompt_path(LANGUAGE, prompt)
end

-- How long a WAV file plays, by its own header; 0 for what cannot be read.
function M.length_ms(path)
  local file = io.open(path, "rb")
  if not file then
    return 0
  end
  local head = file:read(32) or ""
  local size = file:seek("end") or 0
  file:close()
  local a, b, c, d = head:byte(29, 32)
  local per_s = d and a + b * 256 + c * 65536 + d * 16777216 or 0
  return per_s > 0 and math.floor((size - 44) * 1000 / per_s) or 0
end

function M.play(session, path)
  return session:streamFile(path) == 1 and session:ready()
end

-- Returns true when the channel has been answered already, or could be now.
function M.answer(session)
  if session:answered() then
    return true
  end
  session:answer()
  if not session:ready() then
    return false
  end
  if M.var(session, "ringback") == "" and M.var(session, "transfer_ringback") == "" then
    M.set(session, "transfer_ringback", RINGING)
  end
  session:sleep(SETTLE_MS)
  return session:ready()
end

-- Whether an outside party is at the other end: one that came in, or was called by a gateway.
function M.is_outside(session)
  return M.var(session, "callrec_outside") ~= "" or M.var(session, "sip_gateway_name") ~= ""
    or M.var(session, "sip_gateway") ~= ""
end

local function own_realm(session)
  return M.filter(M.var(session, "callrec_realm"), "0-9A-Za-z_%-")
end

-- `whose`: peer for the digits that are sent to this leg, self for those that come from it.
local function bind(session, realm, whose)
  local uuid = M.leg_id(session:get_uuid())
  if uuid == "" then
    M.log("warning", "no in-call keys: the caller has chosen the id of this channel")
    return
  end
  for _, key in ipairs(KEYS) do
    session:execute("bind_digit_action",
      string.format("%s,%s,api:luarun,%s/callrec_key.lua %s %s %s %s,%s,self",
        realm, key[2], M.FOLDER, key[1], whose, uuid, key[2], whose))
  end
end

-- Lets whoever talks to this leg use the in-call keys: the digits that are sent to it are looked at
-- after all bindings of the administrator's own, and all but ours go through. So a leg has keys
-- only while it talks, not in a menu or on a voicemail, and the next agent has them too.
function M.watch(session)
  if M.var(session, "callrec_keys") == "" then
    local realm = own_realm(session)
    M.set(session, "callrec_keys", realm == "" and REALM or realm)
    bind(session, M.var(session, "callrec_keys"), "peer")
  end
end

-- Takes that back: an outside party is put through to this leg now.
function M.unwatch(session)
  if M.var(session, "callrec_keys") == REALM then
    session:execute("clear_digit_action", "all,peer")
    M.set(session, "callrec_keys", "")
  end
end

-- An administrator's own bind_digit_action on a leg keeps its digits from being looked at later:
-- ours are bound beside his then, in his realm.
function M.join_own_realm(session)
  local realm = own_realm(session)
  if realm ~= "" and M.var(session, "callrec_own_keys") == "" then
    M.set(session, "callrec_own_keys", realm)
    bind(session, realm, "self")
  end
end

-- A variable of another channel; "" when that is gone.
function M.var_of(uuid, name)
  local value = api:execute("uuid_getvar", uuid .. " " .. name) or ""
  if value == "_undef_" or value:sub(1, 4) == "-ERR" then
    return ""
  end
  return value
end

function M.exists(uuid)
  return uuid ~= "" and api:execute("uuid_exists", uuid) == "true"
end

function M.hang_up(uuid)
  api:execute("uuid_kill", uuid .. " NORMAL_CLEARING")
end

function M.stop_recording(uuid, path)
  return api:execute("uuid_record", uuid .. " stop " .. path)
end

-- The reminder tone is two tasks of the scheduler, which the listener has named on the leg.
function M.stop_reminding(uuid)
  for task in M.var_of(uuid, "callrec_reminder_tasks"):gmatch("%d+") do
    api:execute("sched_del", task)
  end
end

function M.is_recorded(uuid, path)
  local bugs = api:execute("uuid_buglist", uuid) or ""
  return bugs:find(path, 1, true) ~= nil
end

-- Plays a file to one party, who goes on hearing the other. What comes after the recording's own
-- tap in the list of a channel is in no recording.
function M.whisper_to(uuid, path)
  if uuid == "" then
    return
  end
  local start = uuid .. " start " .. path .. " 0 m"
  if api:execute("uuid_displace", start):sub(1, 4) == "-ERR" then
    api:execute("uuid_displace", uuid .. " stop " .. path)  -- it still plays, from a key before
    api:execute("uuid_displace", start)
  end
end

return M
