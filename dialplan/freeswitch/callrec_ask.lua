-- callrec-pbx: plays an announcement to a leg, collects the digit, and reports both.
-- Used by callrec_offer.lua (the caller) and callrec_whisper.lua (an outside callee).

local common = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "callrec_common.lua")

local M = {}

local PATIENCE_MS = {opt_out = 2000, opt_in = 4000}
local ROUNDS = {announce = 1, opt_out = 5, opt_in = 2}
local MISSED_MS = 40  -- a file that took no longer was not there

local pressed = ""

-- Called by mod_lua, by its name, for each digit of the leg while we play or wait.
function callrec_on_digit(_, kind, what)
  if kind == "dtmf" then
    pressed = what.digit
    return "break"
  end
  return ""
end

local function now() return string.format("%d", common.now_ms()) end

-- One round: the announcement, and some time to press a key after it. Who is only told cannot cut
-- it short, and so get out of being recorded.
local function round(session, asked, path)
  local patience = PATIENCE_MS[asked.mode]
  pressed = ""
  asked.to = nil
  asked.from = now()
  if patience then
    session:setInputCallback("callrec_on_digit", "")
  end
  session:streamFile(path)
  asked.to = now()
  if not patience then
    session:flushDigits()
    return ""
  end
  if pressed == "" and session:ready() and asked.to - asked.from > MISSED_MS then
    session:sleep(patience)
  end
  session:unsetInputCallback()
  return pressed
end

-- The variable stays on the channel, so that a listener that was away can read it later.
local function report(session, asked, key, completed)
  local text = table.concat({asked.mode, asked.language, asked.prompt, key, asked.from,
    asked.to, completed and "1" or "0"}, "/")
  common.set(session, "callrec_consent", text)
  common.raise(session, "consent", "Callrec-Consent", text)
end

local function confirm(session, asked, prompt)
  common.play(session, common.prompt_path(asked.language, prompt))
end

-- Asks. `asked`: mode, language, prompt; `until_ms`: when it has to be over, nil for no limit.
-- Returns "heard", "accepted", "refused" or "gone".
function M.ask(session, asked)
  asked.language = common.filter(asked.language, "0-9A-Za-z%-")
  asked.prompt = common.filter(asked.prompt, "0-9a-z_")
  session:flushDigits()  -- of a menu before it; from the answer on each digit counts
  if not common.answer(session) then
    return "gone"
  end
  if asked.mode == "refused" then
    confirm(session, asked, "declined")
    return "refused"
  end
  local rounds = ROUNDS[asked.mode]
  if not rounds then
    return "heard"
  end
  common.set(session, "callrec_consent", "")
  local path = common.prompt_path(asked.language, asked.prompt)
  local takes_ms = common.length_ms(path) + (PATIENCE_MS[asked.mode] or 0)
  local key = ""
  for _ = 1, rounds do
    if asked.until_ms and common.now_ms() + takes_ms > asked.until_ms then
      break
    end
    key = round(session, asked, path)
    if asked.mode == "opt_out" and key == "*" or asked.mode == "opt_in" and key == "2" then
      report(session, asked, key, true)
      confirm(session, asked, "declined")
      return "refused"
    elseif asked.mode == "opt_in" and key == "1" then
      report(session, asked, key, true)
      confirm(session, asked, "accepted")
      return "accepted"
    elseif not session:ready() then
      report(session, asked, "", false)
      return "gone"
    elseif asked.mode == "opt_out" and key == "" then
      break
    end
  end
  if not asked.from then
    return "heard"  -- no time for it: who has not been told is not recorded
  end
  report(session, asked, "", true)
  if asked.mode == "opt_in" then
    confirm(session, asked, "declined")
    return "refused"
  end
  return "heard"
end

return M
