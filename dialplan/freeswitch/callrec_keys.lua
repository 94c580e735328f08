-- callrec-pbx: lets whoever talks to this leg use the in-call keys. Rendered by setup.
-- callrec_offer.lua runs it on the legs that a user calls.

local common = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "callrec_common.lua")

common.run(function() common.watch(session) end)
