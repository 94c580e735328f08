"""FreeSWITCH: raw ESL messages on one side, typed events and commands on the other."""
