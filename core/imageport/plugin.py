"""Base class of plugins: a pydantic model of the options, and facts declared as data."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict

from imageport.values import ImageStatus


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
    ``class Mine(Plugin[NoConfig])`` for one without. The class docstring is what ``plugins show`` prints. An instance
    belongs to one entry of a pipeline and one import; it is made before anything is fetched, so a plugin that lacks a
    library or a program should say so in ``__init__``::

        def __init__(self, config: MyConfig) -> None:
            super().__init__(config)
            if shutil.which(config.program) is None:
                raise UsageError(f"{config.program} is not on the PATH", hint=f"install {config.program}")

    Options that contradict each other are best refused by a validator of their model.
    """

    #: The model of the options; read from the type argument.
    config_model: ClassVar[type[PluginConfig]] = NoConfig

    #: What ``transform`` reads: a ``stream``, always a ``file`` of its own, or ``either``, depending on the bytes.
    reads: ClassVar[Literal["stream", "file", "either"]] = "stream"

    #: What ``transform`` makes of the bytes: ``nothing``, for they pass as they are; a ``stream``; a ``file`` in the
    #: work folder; or a ``disk``, a file of at most the virtual size of the image. ``imageport plan`` tells scratch
    #: data by this and by ``reads``. Where the options decide, a plugin sets it on itself in ``__init__``.
    writes: Literal["nothing", "stream", "file", "disk"] = "stream"

    #: Names of plugins that must stand above (``runs_after``) or below (``runs_before``) this one when both are used.
    runs_after: ClassVar[frozenset[str]] = frozenset()
    runs_before: ClassVar[frozenset[str]] = frozenset()

    #: Programs that must be on the PATH.
    binaries: ClassVar[tuple[str, ...]] = ()

    #: For import methods: the statuses of an image from which this method may start.
    starts_from: ClassVar[frozenset[ImageStatus]] = frozenset({"queued"})

    #: For import methods: whether this method copies the stored bytes of an active image to further stores. Then no
    #: steps run, the record does not change, and ``starts_from`` is ``{"active"}``. The bytes of an active image never
    #: change, so no other method starts from it.
    copies: ClassVar[bool] = False

    #: For import methods: how often ``stage`` may be called in one import. It is called again, before anything is
    #: published, when the bytes have broken off or had another digest than they should (errors with ``retry``), and
    #: has to bring the same image from its beginning.
    tries: int = 1

    #: ``experimental``, ``stable`` or ``deprecated``.
    stability: ClassVar[Literal["experimental", "stable", "deprecated"]] = "experimental"

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

    @classmethod
    def requires_signature(cls, config: ConfigT) -> bool:
        """Whether, with the options *config*, no image passes here that no trusted signer vouches for.

        A pipeline with ``trust: signed`` has to have such a plugin as its method or among its steps. During an import
        the plugin says whose signature it was with ``ctx.check(..., signer=...)``.
        """
        return False

    def passes(self, head: bytes) -> bool:
        """Say whether bytes that begin with *head* (64 KiB, if there are so many) leave ``transform`` as they are.

        ``imageport plan`` asks this when the source is a file of this machine. No file may be needed then.
        """
        return False

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the class docstring."""
        return cleandoc(cls.__doc__ or "").partition("\n")[0]
