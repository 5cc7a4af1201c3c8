"""``imageport stores``: where images can go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from imageport.cli.options import Json
from imageport.cli.output import option_text, print_fields, print_json, print_table
from imageport.cli.session import Session

if TYPE_CHECKING:
    from imageport.configuration.configure import ConfiguredStep

app = typer.Typer(help="Show the stores that images go to.", no_args_is_help=True)

OfPipeline = Annotated[
    str | None,
    typer.Option("--pipeline", metavar="FILE", help="The stores of this pipeline instead of the site's."),
]


@app.command("list")
def list_stores(ctx: typer.Context, pipeline: OfPipeline = None, json: Json = False) -> None:
    """List the stores of the site file, or those of a pipeline."""
    stores = _stores(ctx.obj, pipeline)
    if json:
        print_json(stores)
        return
    print_table(
        ("ID", "PLUGIN", "WRITABLE", "DEFAULT", "OPTIONS"),
        (
            (
                store["id"],
                store["plugin"],
                "no" if store["read_only"] else "yes",
                "yes" if store["default"] else "",
                " ".join(f"{name}={text}" for name, text in _options(store)),
            )
            for store in stores
        ),
    )


@app.command("show")
def show_store(
    ctx: typer.Context,
    store: Annotated[str, typer.Argument(metavar="ID", help="Id of the store.")],
    pipeline: OfPipeline = None,
    json: Json = False,
) -> None:
    """Show one store with its options."""
    from imageport.errors import UsageError
    from imageport.text import did_you_mean

    stores = {found["id"]: found for found in _stores(ctx.obj, pipeline)}
    if store not in stores:
        raise UsageError(
            f"no store '{store}'{did_you_mean(store, stores)}", hint=f"there are: {', '.join(stores)}"
        )
    found = stores[store]
    if json:
        print_json(found)
        return
    print_fields(
        {
            **{name: value for name, value in found.items() if not isinstance(value, (bool, dict, list))},
            "writable": "no" if found["read_only"] else "yes",
            "default": "yes" if found["default"] else "no",
            "hooks": " ".join(found["hooks"]),
            **dict(_options(found)),
        }
    )


def _stores(session: Session, pipeline: str | None) -> list[dict[str, Any]]:
    from imageport.configuration.configure import configure_stores
    from imageport.configuration.pipeline import load_pipeline
    from imageport.redaction import redact_tree

    site, registry = session.site, session.registry
    if pipeline is None:
        stores, secrets = configure_stores(site, registry), site.secrets
    else:
        configured = load_pipeline(pipeline, site=site, registry=registry)
        stores, secrets = configured.stores, configured.secrets
    found: list[dict[str, Any]] = redact_tree(
        [_describe(store, site.default_store) for store in stores], secrets
    )
    return found


def _describe(store: ConfiguredStep, default: str | None) -> dict[str, Any]:
    from imageport.plugins.registry import hooks_of

    hooks = hooks_of(store.plugin_class)
    return {
        "id": store.label,
        "plugin": store.installed.name,
        "distribution": store.installed.distribution,
        "read_only": "store_write" not in hooks,
        "default": store.label == default,
        "hooks": list(hooks),
        "options": store.config.model_dump(mode="json"),
    }


def _options(store: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, option_text(value)) for name, value in store["options"].items() if value is not None]
