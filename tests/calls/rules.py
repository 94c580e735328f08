"""Rules that several tests use, as TOML text."""


def rule(name: str, direction: str, mode: str = "always_pausable", /, **settings: object) -> str:
    """One rule; `settings` are further keys."""
    lines = [f'name = "{name}"', f'direction = "{direction}"', f'mode = "{mode}"']
    settings.setdefault("consent", "none")
    for key, value in settings.items():
        text = str(value).lower() if isinstance(value, bool | int) else f'"{value}"'
        lines.append(f"{key} = {text}")
    return "[[rule]]\n" + "\n".join(lines) + "\n"


def everything(consent: str = "none", **settings: object) -> str:
    """Record all calls; inbound and outbound ones with this consent."""
    return (
        rule("inbound", "inbound", consent=consent, **settings)
        + rule("outbound", "outbound", consent=consent, **settings)
        + rule("internal", "internal", **settings)
    )
