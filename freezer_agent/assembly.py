"""From a request to its action: the only module of the agent that names concrete classes."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from freezer_agent.actions.backup import BackupAction
from freezer_agent.actions.base import Action, Progress
from freezer_agent.actions.command import CommandAction
from freezer_agent.actions.files import FilesAction
from freezer_agent.actions.info import InfoAction
from freezer_agent.actions.listing import ListAction
from freezer_agent.actions.prune import PruneAction
from freezer_agent.actions.reading import Reader
from freezer_agent.actions.restore import RestoreAction
from freezer_agent.actions.restore_any import RestoreFromAny, StoredCopy
from freezer_agent.actions.restore_aside import RestoreAside
from freezer_agent.actions.several import BackupToSeveral, EachStorage, NearestStorage
from freezer_agent.actions.verify import VerifyAction
from freezer_agent.catalog.backup import BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.checks import Checks
from freezer_agent.catalog.copies import Copies
from freezer_agent.catalog.joint_lock import JointLock, Lock
from freezer_agent.catalog.lock import Owner, SetLock
from freezer_agent.catalog.unfinished import Unfinished, UnfinishedCopies
from freezer_agent.catalog.wanted import told_session
from freezer_agent.codings import CodingChoice, make_rekeying
from freezer_agent.engines.tar import Dereference as TarDereference
from freezer_agent.engines.tar import TarEngine, find_gnu_tar
from freezer_agent.engines.tar_listing import checked
from freezer_agent.modes.fs import Fs
from freezer_agent.pipeline.coding import Codings
from freezer_agent.requests import (
    BackupRequest,
    CommandRequest,
    Compression,
    Dereference,
    Encryption,
    FilesRequest,
    InfoRequest,
    ListRequest,
    PruneRequest,
    RekeyRequest,
    Request,
    RestoreRequest,
    SetName,
    SeveralRequest,
    VerifyRequest,
)
from freezer_agent.storage_assembly import (
    BuiltStorage,
    Network,
    build_storage,
    lane_limits,
    nearest_first,
)
from freezer_agent.storage_choices import LocalStorage, StorageChoice, local_directories
from freezer_agent.storages.base import Storage
from freezer_agent.storages.member import Member
from freezer_agent.storages.mirrored import Mirrored
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
    action: Action
    match request:
        case BackupRequest():
            action = _backup(request, world)
        case RestoreRequest():
            make = partial(_restore, world=world, choices=[request.storage])
            action = _aside(request, make, world)
        case PruneRequest():
            action = _prune(request, world)
        case RekeyRequest():
            action = _rekey(request, world)
        case InfoRequest() | FilesRequest() | ListRequest() | VerifyRequest():
            action = _looking(request, world)
        case CommandRequest():
            action = CommandAction(request=request, monotonic=world.monotonic)
        case SeveralRequest():
            action = _several(request, world)
    return action


def _backup(request: BackupRequest, world: World) -> BackupAction:
    built = build_storage(request.storage, world.network)
    into = _Destination(
        storage=built.storage,
        copies=Copies([Catalog(built.storage, _ENGINE)]),
        lock=_lock(built, _names(request.set_name), world),
        unfinished=UnfinishedCopies([_unfinished(built, built.storage)]),
        choices=[request.storage],
    )
    return _backup_into(into, request, world)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Destination:
    """Where a backup goes: one storage, or several as one."""

    storage: Storage
    copies: Copies
    lock: Lock
    unfinished: UnfinishedCopies
    choices: Sequence[StorageChoice]


def _backup_into(into: _Destination, request: BackupRequest, world: World) -> BackupAction:
    inside = [own for choice in into.choices for own in _own_container(choice, request.source)]
    return BackupAction(
        request=request,
        storage=into.storage,
        catalog=Catalog(into.storage, _ENGINE),
        copies=into.copies,
        names=_names(request.set_name),
        lock=into.lock,
        unfinished=into.unfinished,
        engine=_tar([*request.excludes, *inside], request.dereference),
        codings=_codings(request.compression, request.encryption, world, into.choices),
        mode=Fs(sync=request.sync and not request.dry_run),
        clock=world.clock,
        progress=world.progress,
        version=world.version,
        metadata=_metadata(request),
    )


def _several(several: SeveralRequest, world: World) -> Action:
    """One action on all storages; the kinds of requests that only look or remove go one by one."""
    match several.request:
        case BackupRequest() as backup:
            return _backup_to_several(several, backup, world)
        case RestoreRequest() as restore:
            return _aside(restore, partial(_restore_from_any, several, world=world), world)
        case CommandRequest() as command:
            return make_action(command, world)
        case FilesRequest() as files:
            return NearestStorage(
                {
                    one.name: make_action(replace(files, storage=one.choice), world)
                    for one in nearest_first(several.storages)
                }
            )
        case request:
            return _on_each(several, lambda choice: replace(request, storage=choice), world)


def _on_each(
    several: SeveralRequest, request_for: Callable[[StorageChoice], Request], world: World
) -> EachStorage:
    return EachStorage(
        {one.name: make_action(request_for(one.choice), world) for one in several.storages},
        several.requirement,
    )


def _backup_to_several(
    several: SeveralRequest, request: BackupRequest, world: World
) -> BackupToSeveral:
    network = replace(world.network, segments_in_file=several.spool_bytes > 0)
    built = {one.name: build_storage(one.choice, network) for one in several.storages}
    mirrored = Mirrored(
        [
            Member(name, one.storage, partial(world.progress.stored, name))
            for name, one in built.items()
        ],
        lane_limits(several, world.network),
    )
    locks = [
        _lock(replace(built[member.name], storage=member), _names(request.set_name), world)
        for member in mirrored.members
    ]
    into = _Destination(
        storage=mirrored,
        copies=Copies(
            [Catalog(member, _ENGINE) for member in mirrored.members], mirrored.catching_up
        ),
        lock=JointLock(locks),
        unfinished=UnfinishedCopies(
            [_unfinished(built[member.name], member) for member in mirrored.members]
        ),
        choices=[one.choice for one in several.storages],
    )
    return BackupToSeveral(
        # The queue that is asked for is that of each storage; one before them would be in addition.
        action=_backup_into(
            into, replace(request, facts=_facts_of(several, request), queue_size=1), world
        ),
        mirrored=mirrored,
        places={name: one.place for name, one in built.items()},
        requirement=several.requirement,
    )


def _facts_of(several: SeveralRequest, request: BackupRequest) -> dict[str, Any]:
    """The facts of the report, with the storages that are used in place of the main option's."""
    choices = [one.choice for one in several.storages]
    return {
        **request.facts,
        "storage": ",".join(dict.fromkeys(str(choice.kind) for choice in choices)),
        "container": ",".join(str(choice.container) for choice in choices),
    }


def _restore_from_any(
    several: SeveralRequest, request: RestoreRequest, world: World
) -> RestoreFromAny:
    copies = []
    choices = [one.choice for one in several.storages]
    for one in nearest_first(several.storages):
        built = build_storage(one.choice, world.network)
        copies.append(
            StoredCopy(
                name=one.name,
                storage=built.storage,
                catalog=Catalog(built.storage, _ENGINE),
                restore=partial(_restore_of, one.choice, world, choices),
            )
        )
    removal = None
    if request.removal is not None:
        prune = PruneRequest(
            storage=request.storage,
            set_name=request.set_name,
            removal=request.removal,
            dry_run=request.dry_run,
        )
        removal = _on_each(several, lambda choice: replace(prune, storage=choice), world)
    return RestoreFromAny(
        request=replace(request, removal=None),
        names=_names(request.set_name),
        copies=copies,
        removal=removal,
    )


def _aside(
    request: RestoreRequest, make: Callable[[RestoreRequest], Action], world: World
) -> Action:
    """The restore, beside its target where that is asked for."""
    if not request.aside or request.dry_run:
        return make(request)
    return RestoreAside(
        target=request.target,
        overwrite=request.overwrite,
        restore_into=lambda folder: make(replace(request, target=folder)),
        suffix=world.random_bytes(4).hex(),
    )


def _restore_of(
    choice: StorageChoice,
    world: World,
    choices: Sequence[StorageChoice],
    request: RestoreRequest,
) -> RestoreAction:
    return _restore(replace(request, storage=choice), world, choices)


def _restore(
    request: RestoreRequest, world: World, choices: Sequence[StorageChoice]
) -> RestoreAction:
    """`choices` are all storages that the run opens, `request.storage` among them."""
    built, names = build_storage(request.storage, world.network), _names(request.set_name)
    catalog, engine = Catalog(built.storage, _ENGINE), _tar(kept=local_directories(choices))
    codings = _codings(Compression.NONE, request.encryption, world, choices)
    return RestoreAction(
        request=request,
        storage=built.storage,
        catalog=catalog,
        names=names,
        lock=_lock(built, names, world),
        unfinished=_unfinished(built, built.storage),
        engine=engine,
        browsable=engine,
        reader=Reader(catalog, codings, world.progress),
        codings=codings,
        clock=world.clock,
        progress=world.progress,
    )


def _looking(
    request: InfoRequest | FilesRequest | ListRequest | VerifyRequest, world: World
) -> Action:
    """The actions that leave backups as they are."""
    match request:
        case InfoRequest():
            storage = build_storage(request.storage, world.network).storage
            catalog = Catalog(storage, _ENGINE)
            return InfoAction(request=request, storage=storage, catalog=catalog)
        case FilesRequest():
            return _files(request, world)
        case ListRequest():
            return _list(request, world)
        case VerifyRequest():
            return _verify(request, world)


def _files(request: FilesRequest, world: World) -> FilesAction:
    built = build_storage(request.storage, world.network)
    catalog = Catalog(built.storage, _ENGINE)
    codings = _codings(Compression.NONE, request.encryption, world)
    return FilesAction(
        request=request,
        storage=built.storage,
        catalog=catalog,
        names=_names(request.set_name),
        reader=Reader(catalog, codings, world.progress),
        codings=codings,
        engine=_tar(),
    )


def _list(request: ListRequest, world: World) -> ListAction:
    storage = build_storage(request.storage, world.network).storage
    return ListAction(
        request=request,
        storage=storage,
        catalog=Catalog(storage, _ENGINE),
        catalog_of=partial(Catalog, storage),
        checks=Checks(storage),
    )


def _verify(request: VerifyRequest, world: World) -> VerifyAction:
    storage = build_storage(request.storage, world.network).storage
    codings = _codings(Compression.NONE, request.encryption, world)
    return VerifyAction(
        request=request,
        storage=storage,
        catalog=Catalog(storage, _ENGINE),
        catalog_of=partial(Catalog, storage),
        reader_of=lambda catalog: Reader(catalog, codings, world.progress),
        stream_checks={_ENGINE: checked},
        checks=Checks(storage),
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
        unfinished=_unfinished(built, built.storage),
        clock=world.clock,
        remove_leftovers=built.remove_leftovers,
    )


def _rekey(request: RekeyRequest, world: World) -> Action:
    # It is made of ciphers, whose library the other actions do not wait for.
    from freezer_agent.actions.rekey import RekeyAction  # noqa: PLC0415  # see above

    built, names = build_storage(request.storage, world.network), _names(request.set_name)
    return RekeyAction(
        request=request,
        storage=built.storage,
        catalog=Catalog(built.storage, _ENGINE),
        names=names,
        lock=_lock(built, names, world),
        steps=make_rekeying(request, world.random_bytes),
        clean=_unfinished(built, built.storage).clean_metadata,
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


def _unfinished(built: BuiltStorage, storage: Storage) -> Unfinished:
    return Unfinished(storage=storage, engine=_ENGINE, remove_pieces=built.remove_pieces)


def _tar(
    excludes: Sequence[str] = (),
    dereference: Dereference = Dereference.NONE,
    kept: Sequence[Path] = (),
) -> TarEngine:
    return TarEngine(find_gnu_tar(), excludes, TarDereference(dereference.value), kept)


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
    return {
        "engine_name": _ENGINE,
        "compression": str(request.compression),
        **told_session(request.session),
    }


def _codings(
    compression: Compression,
    encryption: Encryption,
    world: World,
    storages: Sequence[StorageChoice] = (),
) -> Codings:
    # The libraries and the segments of all other kinds take the memory that this would.
    has_room = bool(storages) and all(isinstance(one, LocalStorage) for one in storages)
    return CodingChoice(
        compression,
        encryption,
        world.random_bytes,
        world.state_key_folder,
        has_room=has_room,
    )
