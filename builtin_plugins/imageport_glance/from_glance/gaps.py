"""Options that are set and have no equivalent: the reason, and the alternative."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from imageport.text import printable
from imageport_glance.from_glance.options import FILE_STORE, OPTIONS
from imageport_glance.from_glance.oslo_file import Setting
from imageport_glance.from_glance.values import words

_KNOWN: Final = {(option.section.casefold(), option.name): option for option in OPTIONS}
_NAMES: Final = frozenset(option.name for option in OPTIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """An option that was not carried over, the reason, and the alternative; nothing when it is needed no more.

    ``what`` is the part of the value it is about, when not all of it.
    """

    settings: tuple[Setting, ...]
    reason: str
    instead: str
    what: str = ""


_SERVICE = "there is no HTTP service to log in to"
_CALLER = "name the caller with --user, --project and --role"
_NOTHING = ""

#: Sections, and options of the section DEFAULT, that do not concern imports. Values are never shown: some are secret.
_ELSEWHERE: Final = tuple(
    (re.compile(pattern), reason, instead)
    for pattern, reason, instead in (
        (r"database\..*", "Glance's database is not touched: the catalog of Imageport is another one",
         "name a database for it under catalog, or keep the file that is the default"),
        (r"(keystone_authtoken|service_user|barbican_service_user)\..*", _SERVICE, _CALLER),
        (r"oslo_limit\..*", "limits registered in Keystone are not read", "write them under quotas in the site file"),
        (r"oslo_policy\.policy_(file|dirs)", "rules are not looked up where this points to",
         "give the policy file to this command as well"),
        (r"oslo_policy\..*", "the rules of the site file have one meaning", _NOTHING),
        (r"(oslo_messaging_.*\..*|DEFAULT\.(transport_url|control_exchange|rpc_.*|executor_thread_pool_size))",
         "notifications do not go to a message queue",
         "the observer 'notifications' writes them to a file or a webhook: forward them from there"),
        (r"(key_manager|barbican|vault)\..*", "certificates are not fetched from a key manager",
         "keep the certificates of signed images in a folder, for the step image_signature"),
        (r"DEFAULT\.(debug|verbose|log_.*|logging_.*|use_(syslog|journal|json|stderr|eventlog)|default_log_levels"
         r"|syslog_.*|max_logfile_.*|watch_log_file|publish_errors|instance_.*|rate_limit_.*|fatal_deprecations)",
         "there is no service that keeps a log", "use --debug, or the observers log and jsonl"),
        (r"(paste_deploy|cors|oslo_middleware|healthcheck|ssl|wsgi|oslo_reports|profiler)\..*", _SERVICE, _NOTHING),
        (r"DEFAULT\.(bind_.*|workers|backlog|tcp_keepidle|max_header_line|http_keepalive|client_socket_timeout"
         r"|cert_file|key_file|ca_file|use_forwarded_for|secure_proxy_ssl_header|api_limit_max|limit_param_default"
         r"|max_request_id_length|allow_anonymous_access|show_.*|owner_is_tenant|admin_role)", _SERVICE, _NOTHING),
        (r"DEFAULT\.(image_cache_.*|scrub_.*|cinder_catalog_info)", "this is not part of importing images", _NOTHING),
        (r"[^.]*\.(https?_proxy_information|https_ca_certificates_file|https_insecure)",
         "there is one way to the network for all", "write proxy and ca_bundle under network in the site file"),
        (r"glance_store\.(rbd|rados|swift|s3|cinder|vmware|rootwrap)_.*",
         "it belongs to a store that has no plugin here", "see stores in the site file"),
        (r"(oslo_concurrency|os_brick|privsep.*|cinder|swift|rbd|s3|vmware|backend_defaults)\..*",
         "no plugin of this installation takes it", _NOTHING),
    )
)  # fmt: skip


def gaps_of(settings: Collection[Setting], stores: Collection[str]) -> Iterator[Gap]:
    """Explain each of *settings*, which were not carried over, unless it is the default of Glance.

    *stores* are the sections of stores, in small letters.
    """
    explained = [(setting, *why) for setting in settings if (why := _why(setting, stores))]
    for (_, _, reason, instead), group in groupby(
        explained, key=lambda found: (found[0].path, found[0].section, found[1], found[2])
    ):
        yield Gap(settings=tuple(setting for setting, *_ in group), reason=reason, instead=instead)


def gap_lines(gaps: Collection[Gap]) -> Iterator[str]:
    """Return the lines of two lists of *gaps*, as comments: those with something to do come first."""
    for title, wanted in (("not carried over", True), ("needed no more", False)):
        found = [gap for gap in gaps if bool(gap.instead) == wanted]
        if found:
            yield f"# Set in Glance, and {title}:"
            yield from _list(found)


def _list(gaps: Collection[Gap]) -> Iterator[str]:
    for gap in gaps:
        names = ", ".join(setting.name for setting in gap.settings)
        origin = gap.settings[0].origin.removesuffix(gap.settings[0].name)
        what = f": {gap.what}" if gap.what else ""
        yield f"#   {printable(origin + names + what)}"
        yield f"#       {printable('; '.join(filter(None, (gap.reason, gap.instead))))}"


def _why(setting: Setting, stores: Collection[str]) -> tuple[str, str] | None:
    if not setting.text.strip():
        return None
    section = setting.section.casefold()
    if option := _KNOWN.get((FILE_STORE if section in stores else section, setting.name)):
        if _same(setting.text, option.default):
            return None
        if option.place:
            return "with what else is set, Glance does not use it either", ""
        return option.note, option.instead
    for pattern, reason, instead in _ELSEWHERE:
        if pattern.fullmatch(f"{setting.section}.{setting.name}"):
            return reason, instead
    return (
        "no option of Glance that concerns imports has this name",
        "look whether it is spelled as you mean it",
    )


def concerns_glance(setting: Setting) -> bool:
    """Return whether Glance, or a library it uses, has an option like *setting*, of a store perhaps."""
    return setting.name in _NAMES or any(
        pattern.fullmatch(f"{setting.section}.{setting.name}") for pattern, *_ in _ELSEWHERE
    )


def _same(text: str, default: str) -> bool:
    try:
        return [word.casefold() for word in words(text)] == [word.casefold() for word in words(default)]
    except ValueError:
        return False
