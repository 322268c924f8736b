"""From a request to its action: the only module of the agent that names concrete classes."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freezer_agent.actions.backup import BackupAction
from freezer_agent.actions.base import Action, Progress
from freezer_agent.actions.command import CommandAction
from freezer_agent.actions.info import InfoAction
from freezer_agent.actions.prune import PruneAction
from freezer_agent.actions.restore import RestoreAction
from freezer_agent.catalog.backup import BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.lock import Owner, SetLock
from freezer_agent.codings import CodingChoice
from freezer_agent.engines.tar import Dereference as TarDereference
from freezer_agent.engines.tar import TarEngine, find_gnu_tar
from freezer_agent.errors import RequestInvalid
from freezer_agent.modes.fs import Fs
from freezer_agent.pipeline.coding import Codings
from freezer_agent.requests import (
    BackupRequest,
    CommandRequest,
    Compression,
    Dereference,
    Encryption,
    InfoRequest,
    PruneRequest,
    Request,
    RestoreRequest,
    SetName,
    SeveralRequest,
)
from freezer_agent.storage_assembly import BuiltStorage, Network, build_storage
from freezer_agent.storage_choices import LocalStorage, StorageChoice
from freezer_model.clock import Clock

_ENGINE = TarEngine.name


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the edge hands in: time, chance, names and places of this run."""

    clock: Clock
    monotonic: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    host: str
    lock_folder: Path
    state_key_folder: Path
    version: str
    progress: Progress
    network: Network


def make_action(request: Request, world: World) -> Action:
    """The action that does what the request asks."""
    match request:
        case BackupRequest():
            return _backup(request, world)
        case RestoreRequest():
            return _restore(request, world)
        case PruneRequest():
            return _prune(request, world)
        case InfoRequest():
            storage = build_storage(request.storage, world.network).storage
            catalog = Catalog(storage, _ENGINE)
            return InfoAction(request=request, storage=storage, catalog=catalog)
        case CommandRequest():
            return CommandAction(request=request, monotonic=world.monotonic)
        case SeveralRequest():
            raise RequestInvalid(
                ["several storages at once are not in this release of the agent; give one"],
            )


def _backup(request: BackupRequest, world: World) -> BackupAction:
    built, names = build_storage(request.storage, world.network), _names(request.set_name)
    return BackupAction(
        request=request,
        storage=built.storage,
        catalog=Catalog(built.storage, _ENGINE),
        names=names,
        lock=_lock(built, names, world),
        engine=_tar(
            [*request.excludes, *_own_container(request.storage, request.source)],
            request.dereference,
        ),
        codings=_codings(request.compression, request.encryption, world),
        mode=Fs(sync=request.sync and not request.dry_run),
        clock=world.clock,
        progress=world.progress,
        version=world.version,
        metadata=_metadata(request),
    )


def _restore(request: RestoreRequest, world: World) -> RestoreAction:
    built, names = build_storage(request.storage, world.network), _names(request.set_name)
    return RestoreAction(
        request=request,
        storage=built.storage,
        catalog=Catalog(built.storage, _ENGINE),
        names=names,
        lock=_lock(built, names, world),
        engine=_tar(),
        codings=_codings(Compression.NONE, request.encryption, world),
        clock=world.clock,
        progress=world.progress,
    )


def _prune(request: PruneRequest, world: World) -> PruneAction:
    built, names = build_storage(request.storage, world.network), _names(request.set_name)
    return PruneAction(
        request=request,
        storage=built.storage,
        catalog=Catalog(built.storage, _ENGINE),
        names=names,
        lock=_lock(built, names, world),
        clock=world.clock,
        remove_leftovers=built.remove_leftovers,
    )


def _names(chosen: SetName) -> Sequence[BackupName]:
    names = [chosen.name] if chosen.other_name is None else [chosen.name, chosen.other_name]
    return [BackupName(host=chosen.host, name=name) for name in names]


def _lock(
    built: BuiltStorage,
    names: Sequence[BackupName],
    world: World,
) -> SetLock:
    return SetLock(
        storage=built.storage,
        name=names[0],
        place=built.place,
        folder=world.lock_folder,
        owner=Owner.this_process(world.host),
        clock=world.clock,
    )


def _tar(
    excludes: Sequence[str] = (),
    dereference: Dereference = Dereference.NONE,
) -> TarEngine:
    return TarEngine(find_gnu_tar(), excludes, TarDereference(dereference.value))


def _own_container(storage: StorageChoice, source: Path) -> list[str]:
    """The pattern that keeps a container inside the source out of its own backup."""
    if not isinstance(storage, LocalStorage):
        return []
    container = Path(os.path.realpath(storage.container))
    if container == source or not container.is_relative_to(source):
        return []
    inside = str(container.relative_to(source))
    return ["./" + re.sub(r"([\\*?\[\]])", r"\\\1", inside)]


def _metadata(request: BackupRequest) -> dict[str, Any]:
    """What restoring needs to know, in the words that all releases since 4 read."""
    return {"engine_name": _ENGINE, "compression": str(request.compression)}


def _codings(compression: Compression, encryption: Encryption, world: World) -> Codings:
    return CodingChoice(compression, encryption, world.random_bytes, world.state_key_folder)
