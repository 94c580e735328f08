"""What an administrator has on FreeSWITCH before callrec-pbx comes to it.

The same numbers as on Asterisk (pbx_config), in the manner of FreeSWITCH's vanilla configuration.
"""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from tests.bed.pbx_config import (
    LINES,
    PBX_HOST,
    PHONES_HOST,
    TRUNK_HOST,
    PbxOptions,
    Ports,
    password,
)

DOMAIN = PBX_HOST
"""The directory's domain, which is the phones' digest realm."""

MUSIC = "local_stream://moh"

_STRATEGIES = {"ringall": "ring-all", "rrmemory": "round-robin"}
_CODECS = {"ulaw": "PCMU", "alaw": "PCMA", "g722": "G722"}

Action = tuple[str, str]


def _params(indent: int, **values: str) -> str:
    return "".join(
        f"{' ' * indent}<param name={quoteattr(key.replace('_', '-'))} value={quoteattr(value)}/>\n"
        for key, value in values.items()
    )


def _extension(name: str, number: str, *actions: Action) -> str:
    said = "".join(
        f"        <action application={quoteattr(application)} data={quoteattr(data)}/>\n"
        for application, data in actions
    )
    return (
        f"    <extension name={quoteattr(name)}>\n"
        f'      <condition field="destination_number" expression={quoteattr(number)}>\n'
        f"{said}      </condition>\n    </extension>\n"
    )


def _profile(name: str, options: PbxOptions, port: int, gateways: str, **values: str) -> str:
    codecs = ",".join(_CODECS[codec] for codec in options.codecs.split(","))
    settings = _params(
        6,
        sip_ip=PBX_HOST,
        rtp_ip=PBX_HOST,
        sip_port=str(port),
        dialplan="XML",
        user_agent_string="PBX",
        inbound_codec_prefs=codecs,
        outbound_codec_prefs=codecs,
        inbound_codec_negotiation="generous",
        inbound_late_negotiation="true",
        hold_music=MUSIC,
        rtp_timer_name="soft",
        rfc2833_pt="101",
        dtmf_type="rfc2833",
        manage_presence="false",
        disable_register="true",
        nonce_ttl="60",
        **({"rtp_timeout_sec": str(options.rtp_timeout_s)} if options.rtp_timeout_s else {}),
        **values,
    )
    return (
        f'    <profile name="{name}">\n    <gateways>\n{gateways}    </gateways>\n'
        f'    <domains>\n      <domain name="all" alias="false" parse="false"/>\n    </domains>\n'
        f"    <settings>\n{settings}    </settings>\n    </profile>\n"
    )


def sofia_conf(options: PbxOptions, ports: Ports) -> str:
    """Write the two SIP profiles: phones on `internal`, the trunk on `external`."""
    gateway = (
        '      <gateway name="trunk">\n'
        + _params(
            8,
            proxy=f"{TRUNK_HOST}:{ports.trunk}",
            realm=TRUNK_HOST,
            username="pbx",
            register="false",
            caller_id_in_from="true",
        )
        + "      </gateway>\n"
    )
    internal = _profile(
        "internal",
        options,
        ports.pbx,
        "",
        context="default",
        auth_calls="true",
        challenge_realm=DOMAIN,
    )
    external = _profile(
        "external", options, ports.pbx_trunk, gateway, context="public", auth_calls="false"
    )
    return (
        '<configuration name="sofia.conf">\n  <global_settings>\n'
        '    <param name="log-level" value="0"/>\n  </global_settings>\n  <profiles>\n'
        f"{internal}{external}  </profiles>\n</configuration>\n"
    )


def directory(ports: Ports) -> str:
    """Write the lines: digest password, how they are dialled, what is known of their calls."""
    users = ""
    for line in LINES:
        users += (
            f'      <user id="{line}">\n        <params>\n'
            + _params(
                10,
                password=password(line),
                dial_string=f"[sip_invite_domain={DOMAIN}]"
                f"sofia/internal/desk{line}@{PHONES_HOST}:{ports.phones}",
            )
            + "        </params>\n        <variables>\n"
            + "".join(
                f'          <variable name="{name}" value="{value}"/>\n'
                for name, value in (
                    ("user_context", "default"),
                    ("effective_caller_id_name", f"Agent {line}"),
                    ("effective_caller_id_number", line),
                )
            )
            + "        </variables>\n      </user>\n"
        )
    return (
        f'<include>\n  <domain name="{DOMAIN}">\n    <groups><group name="default"><users>\n'
        f"{users}    </users></group></groups>\n  </domain>\n</include>\n"
    )


class Dialplan:
    """The administrator's dialplan, with or without the calls to callrec-pbx."""

    def __init__(self, options: PbxOptions) -> None:
        self._options = options

    def _lua(self, arguments: str) -> list[Action]:
        return [("lua", arguments)] if self._options.callrec else []

    def _offer(self, arguments: str) -> list[Action]:
        return self._lua(f"callrec_offer.lua {arguments}")

    def _keys(self, who: str) -> list[Action]:
        """Bind *1 (blind transfer), *2 (attended transfer) and *3 (park) for a, b, or both.

        Whoever transfers, by key or by REFER, dials what a line can dial.
        """
        keys = ((1, "dx"), (2, "att_xfer"), (3, "park"))
        return [
            ("set", "force_transfer_context=default"),
            *(
                ("bind_meta_app", f"{key} {who} s execute_extension::{name} XML features")
                for key, name in keys
            ),
        ]

    def _dial(self, target: str, keys: str) -> list[Action]:
        return [
            *self._keys(keys),
            ("set", f"call_timeout={self._options.ring_s}"),
            ("set", "hangup_after_bridge=true"),
            *([("set", self._options.dial_options)] if self._options.dial_options else []),
            ("bridge", target),
        ]

    def _line(self, number: str, line: str, offer: str, keys: str) -> str:
        ringing = [
            ("hash", f"insert/{DOMAIN}-last_dial_ext/{key}/${{uuid}}") for key in (line, "global")
        ]
        target = f"user/{line}@{DOMAIN}"
        return _extension("line", number, *self._offer(offer), *ringing, *self._dial(target, keys))

    def _queue(self, number: str, name: str, direction: str) -> str:
        return _extension(
            name,
            f"^{number}$",
            *self._offer(f"{direction} - {number} {name}"),
            *self._keys("b"),
            ("callcenter", f"{name}@{DOMAIN}"),
        )

    def _voicemail(self) -> str:
        line = "$1"
        return _extension(
            "voicemail",
            r"^4(3\d\d)$",
            *self._offer(f"inbound {line} ${{destination_number}}"),
            *self._lua(f"callrec_voicemail.lua {line}"),
            ("answer", ""),
            ("set", "skip_greeting=true"),
            ("set", "skip_instructions=true"),
            ("voicemail", f"default {DOMAIN} {line}"),
            *self._dial(f"user/306@{DOMAIN}", "b"),
        )

    def _menu(self, digit: int, answer: str) -> str:
        return _extension(
            f"menu {answer}",
            rf"^{digit}(3\d\d)$",
            ("answer", ""),
            ("set", f"callrec_consent={answer}"),
            *self._offer("inbound $1 $1"),
            *self._dial(f"user/$1@{DOMAIN}", "b"),
        )

    def public(self) -> str:
        """Write the context of calls from outside."""
        extras = (
            self._voicemail() + self._menu(1, "accepted") + self._menu(2, "declined")
            if self._options.callrec
            else ""
        )
        return (
            '<include>\n  <context name="public">\n'
            + self._line(r"^(3\d\d)$", "$1", "inbound $1 $1", "b")
            + self._queue("600", "sales", "inbound")
            + self._queue("601", "support", "inbound")
            + extras
            + "  </context>\n</include>\n"
        )

    def default(self) -> str:
        """Write the context of calls from the lines, and of what is transferred."""
        return (
            '<include>\n  <context name="default">\n'
            + ('    <X-PRE-PROCESS cmd="include" data="default/*.xml"/>\n')
            + _extension("parking", "^700$", *_parking("auto in 701 720"))
            + _extension("parked", r"^(7[012]\d)$", *_parking("$1"))
            + self._line(r"^(3\d\d)$", "$1", "internal $1", "ab")
            + self._queue("600", "sales", "internal")
            + self._queue("601", "support", "internal")
            + _extension(
                "outbound",
                r"^0([+*#\d]+)$",
                *self._offer("outbound ${user_name}"),
                *self._dial("sofia/gateway/trunk/$1", "a"),
            )
            + _extension(
                "pickup",
                r"^8(3\d\d)$",
                ("intercept", f"${{hash(select/{DOMAIN}-last_dial_ext/$1)}}"),
            )
            + _extension(
                "group pickup",
                r"^\*8$",
                ("intercept", f"${{hash(select/{DOMAIN}-last_dial_ext/global)}}"),
            )
            + "  </context>\n</include>\n"
        )


def _parking(slot: str) -> list[Action]:
    return [("answer", ""), ("set", "valet_announce_slot=false"), ("valet_park", f"lot {slot}")]


_FEATURES = (
    '<include>\n  <context name="features">\n'
    + _extension(
        "dx",
        "^dx$",
        ("answer", ""),
        ("read", "3 11 'tone_stream://%(10000,0,350,440)' digits 1000 #"),
        ("transfer", "-bleg ${digits} XML default"),
    )
    + _extension(
        "att_xfer",
        "^att_xfer$",
        ("read", "3 11 'tone_stream://%(10000,0,350,440)' digits 1000 #"),
        ("set", "origination_cancel_key=#"),
        ("att_xfer", f"user/${{digits}}@{DOMAIN}"),
    )
    + _extension("park", "^park$", ("transfer", "-bleg 700 XML default"))
    + "  </context>\n</include>\n"
)
"""What a phone's feature keys do, as in the vanilla configuration."""


def callcenter_conf(options: PbxOptions) -> str:
    """Write the queues `sales` (301, 302) and `support` (303, 304)."""
    queues = (
        ("sales", options.sales_strategy, LINES[:2]),
        ("support", options.support_strategy, LINES[2:4]),
    )
    told, agents, tiers = "", "", ""
    for name, strategy, lines in queues:
        told += (
            f'    <queue name="{name}@{DOMAIN}">\n'
            + _params(
                6,
                strategy=_STRATEGIES[strategy],
                moh_sound=MUSIC,
                time_base_score="system",
                max_wait_time="60",
                max_wait_time_with_no_agent="0",
                tier_rules_apply="false",
                discard_abandoned_after="60",
            )
            + "    </queue>\n"
        )
        for line in lines:
            agents += (
                f'    <agent name="{line}@{DOMAIN}" type="callback" '
                f'contact="[leg_timeout=15]user/{line}@{DOMAIN}" status="Available" '
                'max-no-answer="999" wrap-up-time="0" reject-delay-time="1" busy-delay-time="1" '
                'no-answer-delay-time="1"/>\n'
            )
            tiers += (
                f'    <tier agent="{line}@{DOMAIN}" queue="{name}@{DOMAIN}" '
                'level="1" position="1"/>\n'
            )
    return (
        '<configuration name="callcenter.conf">\n  <settings>\n  </settings>\n'
        f"  <queues>\n{told}  </queues>\n  <agents>\n{agents}  </agents>\n"
        f"  <tiers>\n{tiers}  </tiers>\n</configuration>\n"
    )


def config_files(options: PbxOptions, ports: Ports, moh_dir: str) -> dict[str, str]:
    """Return the PBX's own configuration, file name to text."""
    dialplan = Dialplan(options)
    variables = "".join(
        f'  <X-PRE-PROCESS cmd="set" data="{name}={value}"/>\n'
        for name, value in (("domain", DOMAIN), ("hold_music", MUSIC), ("default_language", "en"))
    )
    return {
        "vars.xml": f"<include>\n{variables}</include>\n",
        "autoload_configs/switch.conf.xml": (
            '<configuration name="switch.conf">\n  <settings>\n'
            + _params(
                4,
                colorize_console="false",
                max_sessions="1000",
                sessions_per_second="200",
                loglevel="debug",
                dump_cores="no",
                rtp_start_port=str(ports.pbx_rtp[0]),
                rtp_end_port=str(ports.pbx_rtp[1] - 1),
            )
            + "  </settings>\n</configuration>\n"
        ),
        "autoload_configs/sofia.conf.xml": sofia_conf(options, ports),
        "autoload_configs/callcenter.conf.xml": callcenter_conf(options),
        "autoload_configs/local_stream.conf.xml": (
            '<configuration name="local_stream.conf">\n'
            f'  <directory name="moh" path="{moh_dir}">\n'
            + _params(
                4, rate="8000", shuffle="false", channels="1", interval="20", timer_name="soft"
            )
            + "  </directory>\n</configuration>\n"
        ),
        "autoload_configs/voicemail.conf.xml": (
            '<configuration name="voicemail.conf">\n  <settings>\n  </settings>\n  <profiles>\n'
            '    <profile name="default">\n'
            + _params(
                6,
                file_extension="wav",
                terminator_key="#",
                min_record_len="1",
                max_record_len="300",
                tone_spec="%(200, 0, 640)",
                record_silence_threshold="1",
                record_silence_hits="1000",
                skip_greet_key="#",
            )
            + "    </profile>\n  </profiles>\n</configuration>\n"
        ),
        "directory/default.xml": directory(ports),
        "dialplan/default.xml": dialplan.default(),
        "dialplan/public.xml": dialplan.public(),
        "dialplan/features.xml": _FEATURES,
    }
