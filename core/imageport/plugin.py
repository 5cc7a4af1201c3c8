"""Base class of plugins: a pydantic model of the options, and facts declared as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict

from imageport.values import ImageStatus, StoreCapabilities

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imageport.context import Context
    from imageport.data import ImageData
    from imageport.hook_signatures import TakesContext, TakesEvent, TakesImage, TakesLocation, TakesSource
    from imageport.values import Finding, Image, PendingCopy, StoredCopy


class PluginConfig(BaseModel):
    """Options of a plugin: the mapping under ``with:``. Unknown options are errors; values never change.

    Numbers are finite. A number in YAML has its text in the file as ``str()``, for options that are text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NoConfig(PluginConfig):
    """For plugins without options."""


ConfigT = TypeVar("ConfigT", bound=PluginConfig)


class Plugin(Generic[ConfigT]):
    """Base of all plugins.

    Write ``class Mine(Plugin[MyConfig])`` for a plugin with options, which are then ``self.config``, or
    ``class Mine(Plugin[NoConfig])`` for one without. ``plugins show`` prints the class docstring. An instance
    belongs to one entry of a pipeline and one import. It is made before anything is fetched, so a plugin that lacks a
    library or a program should raise ``UsageError`` in ``__init__``::

        def __init__(self, config: MyConfig) -> None:
            super().__init__(config)
            if shutil.which(config.program) is None:
                raise UsageError(f"{config.program} is not on the PATH", hint=f"install {config.program}")

    Options that contradict each other are best refused by a validator of their model.

    mypy and pyright report a hook that an import could not call: a misspelt hook or argument, a wrong type or result,
    and, with ``explicit-override`` or ``reportImplicitOverride``, a missing mark.
    """

    #: The model of the options; read from the type argument.
    config_model: ClassVar[type[PluginConfig]] = NoConfig

    #: The input of ``transform``: a ``stream``, always a private ``file``, or ``either``, depending on the bytes.
    reads: ClassVar[Literal["stream", "file", "either"]] = "stream"

    #: The output of ``transform``: ``nothing`` when it leaves them unchanged; a ``stream``; a ``file`` in the
    #: work folder; or a ``disk``, a file of at most the virtual size of the image. ``imageport plan`` computes the
    #: scratch space from this and ``reads``. Where the options decide, a plugin sets it on itself in ``__init__``.
    writes: Literal["nothing", "stream", "file", "disk"] = "stream"

    #: Names of plugins that must stand above (``runs_after``) or below (``runs_before``) this one when both are used.
    runs_after: ClassVar[frozenset[str]] = frozenset()
    runs_before: ClassVar[frozenset[str]] = frozenset()

    #: Programs that must be on the PATH; a mapping has the name of the package of each, in Debian and Ubuntu.
    binaries: ClassVar[Sequence[str] | Mapping[str, str]] = ()

    #: For import methods: the statuses of an image from which this method may start.
    starts_from: ClassVar[frozenset[ImageStatus]] = frozenset({"queued"})

    #: For import methods: whether this method copies the stored bytes of an active image to further stores. Then no
    #: steps run, the record does not change, and ``starts_from`` is ``{"active"}``. The bytes of an active image never
    #: change, so no other method starts from it.
    copies: ClassVar[bool] = False

    #: For import methods: how often ``stage`` may be called in one import. It is called again, before anything is
    #: published, when the stream ended early or had a wrong digest (errors with ``retry``), and has to return the same
    #: image from its beginning.
    max_attempts: int = 1

    #: Advice for a pipeline that has to be signed: how this plugin is made to require a signature.
    signature_hint: ClassVar[str] = ""

    #: For stores: facts that the plan of an import obeys. Where the options decide, a store sets it on itself in
    #: ``__init__``.
    capabilities: StoreCapabilities = StoreCapabilities()

    #: ``experimental``, ``stable`` or ``deprecated``.
    stability: ClassVar[Literal["experimental", "stable", "deprecated"]] = "experimental"

    if TYPE_CHECKING:
        # A method that an import could not call is an incompatible override of one of these.
        validate_source: TakesSource[None]
        stage: TakesSource[ImageData | None]
        transform: TakesImage[Image | None]
        store_write: TakesImage[PendingCopy]
        store_read: TakesLocation[ImageData]
        store_delete: TakesLocation[None]
        store_stat: TakesLocation[StoredCopy | None]
        store_list: TakesContext[Iterable[StoredCopy]]
        on_progress: TakesEvent[None]
        diagnose: TakesContext[Iterable[Finding]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Plugin):
                argument = get_args(base)[0]
                if isinstance(argument, type) and issubclass(argument, PluginConfig):
                    cls.config_model = argument

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    def setup(self, ctx: Context) -> None:
        """Make ready what the hooks need, such as the client of a server.

        Called once, right before the first hook other than ``validate_source``, so never for a plugin that is not used.
        An error that it raises is treated as if that hook had raised it, and every later one.
        """

    def close(self) -> None:
        """Give back what ``setup`` and the hooks have opened; called once, after the last hook.

        Called whenever a hook or ``setup`` was, also after a failure and an interrupt, but not after a ``setup`` that
        has failed, nor while a hook that was left behind is still at work. An error is logged, and changes nothing
        about the result.
        """

    @classmethod
    def requires_signature(cls, config: ConfigT) -> bool:
        """Return whether a plugin with the options *config* refuses every image without a trusted signature.

        A pipeline with ``trust: signed`` needs such a plugin as its method or among its steps. During an import the
        plugin reports the signer with ``ctx.check(..., signer=...)``.
        """
        return False

    def leaves_unchanged(self, head: bytes) -> bool:
        """Return whether ``transform`` leaves bytes unchanged that begin with *head* (at most 64 KiB).

        ``imageport plan`` calls this when the source is a local file: no file may be needed then.
        """
        return False

    def formats_made(self, disk_format: str | None) -> frozenset[str] | None:
        """Return the disk formats that ``transform`` may make of an image of *disk_format*; None when unknown.

        *disk_format* is None when it is not known. The plan of an import calls this to find a store that does not
        accept the result. Not called for a plugin that writes ``nothing``.
        """
        return None

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the class docstring."""
        return cleandoc(cls.__doc__ or "").partition("\n")[0]
