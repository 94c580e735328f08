"""What an administrator has on the PBX before callrec-pbx comes to it."""

from __future__ import annotations

from dataclasses import dataclass

LINES = ("301", "302", "303", "304", "305", "306")
PHONES_HOST = "127.0.0.2"
TRUNK_HOST = "127.0.0.3"
PBX_HOST = "127.0.0.1"

MOH_HZ = 620
"""The only tone of the PBX's music on hold, so that it can be told from the parties."""


_EXTRAS = """\
exten => _43XX,1,NoOp(voicemail of ${EXTEN:1})
 same => n,Gosub(callrec-offer,s,1(inbound,${EXTEN:1},${EXTEN},))
 same => n,Gosub(callrec-voicemail,s,1)
 same => n,VoiceMail(${EXTEN:1},s)
 same => n,Dial(PJSIP/306,30,tkU(callrec-whisper))
 same => n,Hangup()
exten => _[12]3XX,1,NoOp(the menu has accepted (1) or declined (2) for ${EXTEN:1})
 same => n,Answer()
 same => n,Set(CALLREC_CONSENT=${IF($["${EXTEN:0:1}" = "1"]?accepted:declined)})
 same => n,Gosub(callrec-offer,s,1(inbound,${EXTEN:1},${EXTEN:1},))
"""
"""What an administrator with voicemail and a menu of his own has for callers from outside."""


def password(line: str) -> str:
    """Return the digest password of that line's phone."""
    return f"secret-of-{line}"


@dataclass(frozen=True, slots=True)
class PbxOptions:
    """What can be chosen about the PBX.

    Attributes:
        callrec: Whether the dialplan calls callrec-pbx, as the manual tells the administrator.
        codecs: Codecs of all endpoints, the preferred one first.
        sales_strategy: Ring strategy of queue `sales` (600), members 301 and 302.
        support_strategy: Ring strategy of queue `support` (601), members 303 and 304.
        ring_s: How long `Dial` rings.
        dial_options: Further options for each `Dial`, such as `b(callrec-leg^s^1)`.
        rtp_timeout_s: RTP inactivity timeout of the endpoints in seconds; 0 for none.
    """

    callrec: bool = False
    codecs: str = "ulaw,alaw"
    sales_strategy: str = "ringall"
    support_strategy: str = "rrmemory"
    ring_s: int = 30
    dial_options: str = ""
    rtp_timeout_s: int = 0


@dataclass(frozen=True, slots=True)
class Ports:
    """The bed's UDP ports: SIP on the three loopback hosts, and first and last of the RTP.

    The PBX has one for the phones and one for the trunk, the same one on Asterisk.
    """

    pbx: int
    pbx_trunk: int
    phones: int
    trunk: int
    pbx_rtp: tuple[int, int]
    far_rtp: tuple[int, int]


def pjsip_conf(options: PbxOptions, ports: Ports) -> str:
    """Write the lines and the trunk."""
    common = (
        f"type = endpoint\ntransport = udp\ndisallow = all\nallow = {options.codecs}\n"
        "rtp_symmetric = yes\nforce_rport = yes\nrewrite_contact = no\ndirect_media = no\n"
        "dtmf_mode = rfc4733\nsend_pai = yes\ntrust_id_inbound = yes\ntrust_id_outbound = yes\n"
        f"allow_transfer = yes\nmedia_address = {PBX_HOST}\nbind_rtp_to_media_address = yes\n"
        f"rtp_timeout = {options.rtp_timeout_s}\nlanguage = en\n"
    )
    text = (
        "[global]\ntype = global\nendpoint_identifier_order = ip,username\n"
        "user_agent = PBX\n\n"
        f"[udp]\ntype = transport\nprotocol = udp\nbind = {PBX_HOST}:{ports.pbx}\n\n"
        f"[trunk]\n{common}context = from-trunk\naors = trunk\n\n"
        f"[trunk]\ntype = aor\ncontact = sip:{TRUNK_HOST}:{ports.trunk}\n\n"
        f"[trunk]\ntype = identify\nendpoint = trunk\nmatch = {TRUNK_HOST}\n"
    )
    for line in LINES:
        text += (
            f"\n[{line}]\n{common}context = from-internal\naors = {line}\n"
            f'callerid = "Agent {line}" <{line}>\nset_var = TRANSFER_CONTEXT=from-internal\n'
            "call_group = 1\npickup_group = 1\n"
            "identify_by = username\n\n"
            f"[{line}]\ntype = aor\ncontact = sip:desk{line}@{PHONES_HOST}:{ports.phones}\n"
        )
    return text


def extensions_conf(options: PbxOptions) -> str:
    """Write the administrator's dialplan, with or without the calls to callrec-pbx."""

    def offer(arguments: str) -> str:
        return f" same => n,Gosub(callrec-offer,s,1({arguments}))\n" if options.callrec else ""

    whisper = "U(callrec-whisper)" if options.callrec else ""
    more = options.dial_options + whisper
    queue_gosub = ",,callrec-whisper" if options.callrec else ""

    def dial(target: str, who: str) -> str:
        return f" same => n,Dial({target},{options.ring_s},{who}{more})\n same => n,Hangup()\n"

    def queue(extension: str, name: str, direction: str) -> str:
        return (
            f"exten => {extension},1,NoOp(queue {name})\n"
            + offer(f"{direction},,{extension},{name}")
            + f" same => n,Queue({name},tk,,,60{queue_gosub})\n same => n,Hangup()\n"
        )

    return (
        "[general]\nstatic = yes\nwriteprotect = yes\nclearglobalvars = no\n\n"
        "[globals]\n\n"
        "[from-trunk]\n"
        "exten => _3XX,1,NoOp(inbound to ${EXTEN})\n"
        + offer("inbound,${EXTEN},${EXTEN},")
        + dial("PJSIP/${EXTEN}", "tk")
        + queue("600", "sales", "inbound")
        + queue("601", "support", "inbound")
        + (_EXTRAS + dial("PJSIP/${EXTEN:1}", "tk") if options.callrec else "")
        + "\n[from-internal]\n"
        "include => parkedcalls\n"
        + ("include => callrec-codes\n" if options.callrec else "")
        + "exten => _3XX,1,NoOp(internal to ${EXTEN})\n"
        + offer("internal,${EXTEN},,")
        + dial("PJSIP/${EXTEN}", "tTkK")
        + queue("600", "sales", "internal")
        + queue("601", "support", "internal")
        + "exten => _0X.,1,NoOp(outbound to ${EXTEN:1})\n"
        + offer("outbound,${CHANNEL(endpoint)},,")
        + dial("PJSIP/${EXTEN:1}@trunk", "TK")
        + "exten => _83XX,1,PickupChan(PJSIP/${EXTEN:1},p)\n same => n,Hangup()\n"
    )


def config_files(options: PbxOptions, ports: Ports, moh_dir: str) -> dict[str, str]:
    """Return the PBX's own configuration, file name to text."""
    queue = (
        "strategy = {strategy}\ntimeout = 15\nretry = 1\nringinuse = no\nautofill = yes\n"
        "wrapuptime = 0\njoinempty = yes\n{members}\n"
    )

    def members(*lines: str) -> str:
        return "".join(f"member => PJSIP/{line}\n" for line in lines)

    return {
        "pjsip.conf": pjsip_conf(options, ports),
        "extensions.conf": extensions_conf(options),
        "queues.conf": (
            "[general]\npersistentmembers = no\nshared_lastcall = no\n\n[sales]\n"
            + queue.format(strategy=options.sales_strategy, members=members("301", "302"))
            + "[support]\n"
            + queue.format(strategy=options.support_strategy, members=members("303", "304"))
        ),
        "features.conf": (
            "[general]\nfeaturedigittimeout = 1000\ntransferdigittimeout = 3\n"
            "pickupexten = *8\n\n"
            "[featuremap]\nblindxfer => *1\natxfer => *2\nparkcall => *3\n"
        ),
        "res_parking.conf": (
            "[general]\n[default]\nparkext => 700\nparkpos => 701-720\ncontext => parkedcalls\n"
            "parkingtime = 60\nfindslot => next\nparkedcalltransfers = caller\n"
        ),
        "musiconhold.conf": f"[default]\nmode = files\ndirectory = {moh_dir}\n",
        "rtp.conf": (
            f"[general]\nrtpstart = {ports.pbx_rtp[0]}\nrtpend = {ports.pbx_rtp[1]}\n"
            "icesupport = no\n"
        ),
        "voicemail.conf": (
            "[general]\nformat = wav\n[default]\n"
            + "".join(f"{line} => 1234,Agent {line}\n" for line in LINES)
        ),
    }
