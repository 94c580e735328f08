-- callrec-pbx: an in-call key was pressed. Rendered by setup; run by the binding that
-- callrec_common.lua makes, in a thread of its own beside the conversation.
--   KEY: pause, start or discard; WHOSE: self for digits that came from LEG, peer for those that
--   were sent to it; DIGITS: those

local FOLDER = debug.getinfo(1, "S").source:match("^@(.*/)")
local common = dofile(FOLDER .. "callrec_common.lua")

local STARTS_MS = 400  -- how long a recording may take to begin after its key was answered

local key, whose, digits = argv[1], argv[2], argv[4]
local uuid, other = argv[3], ""  -- the leg of the user who has pressed it, and whom he talks to

local function sleep(ms) freeswitch.msleep(ms) end

-- Keys pressed quickly one after the other are seen to in that order.
local function wait_turn(leg)
  local until_ms = common.now_ms() + common.WAIT_MS + STARTS_MS
  while common.var(leg, "callrec_key_busy") ~= "" and common.now_ms() < until_ms do
    sleep(10)
  end
  common.set(leg, "callrec_key_busy", key)
end

-- Nobody answered. A pause or an objection must not be lost with the listener: stop writing.
local function stop_writing(leg)
  local path = common.var(leg, "callrec_path")
  if path ~= "" then
    common.stop_recording(uuid, path)
    common.stop_reminding(uuid)
  end
  -- Which file was stopped: a later one of this leg is not. An objection stays, whatever comes.
  if common.var(leg, "callrec_stopped"):match("^discard/") == nil then
    common.set(leg, "callrec_stopped", key .. "/" .. path)
  end
  common.raise(leg, "stopped", "Callrec-Key", key)
end

-- What the parties hear now must come after the recording's own tap, or it would be in the file.
local function let_it_start(leg, before)
  local until_ms = common.now_ms() + STARTS_MS
  while common.now_ms() < until_ms and leg:ready() do
    local path = common.var(leg, "callrec_path")
    if path ~= "" and path ~= before and common.is_recorded(uuid, path) then
      return
    end
    sleep(20)
  end
end

local function tell(path)
  common.whisper_to(uuid, path)
  common.whisper_to(other, path)
end

local function see_to(leg)
  local before = common.var(leg, "callrec_path")
  for _, name in ipairs({"callrec_key_result", "callrec_key_prompt", "callrec_tell"}) do
    common.set(leg, name, "")
  end
  common.raise(leg, "key", "Callrec-Key", key)
  local result = common.is_answering()
    and common.wait_for(leg, "callrec_key_result", common.WAIT_MS, sleep) or ""
  if result == "" then
    if key ~= "start" then
      stop_writing(leg)
    end
    return
  end
  local prompt, told = common.var(leg, "callrec_key_prompt"), common.var(leg, "callrec_tell")
  if key == "start" and prompt .. told ~= "" then
    let_it_start(leg, before)
  end
  if told ~= "" then
    tell(told)
  end
  if prompt ~= "" then
    common.whisper_to(uuid, prompt)
  end
end

common.run(function()
  other = common.leg_id(common.var_of(uuid, "bridge_uuid"))
  if whose == "peer" then
    uuid, other = other, uuid
  end
  if not common.exists(uuid) then
    return
  end
  local leg = freeswitch.Session(uuid)
  if common.is_outside(leg) or not leg:bridged() then
    -- Somebody outside whom he was put through to meanwhile; or a menu: the digits are not for us.
    freeswitch.API():execute("uuid_recv_dtmf", uuid .. " " .. digits)
  else
    wait_turn(leg)
    local fine, problem = pcall(see_to, leg)
    common.set(leg, "callrec_key_busy", "")
    if not fine then
      common.log("err", tostring(problem))
    end
  end
  leg:destroy()
end)
