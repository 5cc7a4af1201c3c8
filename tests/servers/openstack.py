"""A real Keystone and a real Glance with file stores, as small as an OpenStack can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.glance import GlanceServer, with_keystone
from tests.servers.keystone import PASSWORD, USER, Keystone, KeystoneServer

REGION = "North"

#: An ordinary user, in a project of that name.
MEMBER, MEMBER_PASSWORD = "demo", "demo-password"


@dataclass(frozen=True)
class OpenStack:
    """A running cloud."""

    keystone: KeystoneServer
    glance: GlanceServer

    @property
    def facts(self) -> dict[str, str]:
        """What clients need: ``auth_url``, ``region_name``, the url ``glance``, and ``folder`` with its stores."""
        return {
            "auth_url": self.keystone.auth_url,
            "region_name": REGION,
            "glance": self.glance.url,
            "folder": str(self.glance.folder),
        }


@contextmanager
def running_openstack(
    folder: Path, *, sections: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[OpenStack]:
    """Run a cloud that one test alone uses, and may freeze and kill; *sections* are added to the options of Glance."""
    with ExitStack() as stack:
        keystone = stack.enter_context(KeystoneServer(_made(folder / "keystone")))
        token = keystone.sign_in()
        glance_folder = _made(folder / "glance")
        options = {**with_keystone(keystone, glance_folder), **(sections or {})}
        glance = stack.enter_context(GlanceServer(glance_folder, sections=options))
        keystone.add_image_service(glance.url, REGION, token)
        keystone.add_member(MEMBER, MEMBER_PASSWORD, token)
        yield OpenStack(keystone, glance)


@contextmanager
def serve(folder: Path) -> Iterator[dict[str, str]]:
    """Run the cloud that all tests of a run share."""
    with running_openstack(folder) as cloud:
        yield cloud.facts


def new_project(facts: Mapping[str, str], name: str) -> dict[str, str]:
    """Make a project with one user, and return the options with which it signs in."""
    keystone = Keystone(facts["auth_url"])
    keystone.add_member(name, MEMBER_PASSWORD, keystone.sign_in())
    return sign_in(facts, name)


def sign_in(facts: Mapping[str, str], user: str = MEMBER) -> dict[str, str]:
    """Return the options with which *user* signs in to the cloud of these *facts*."""
    return {
        "auth_url": facts["auth_url"],
        "region_name": facts["region_name"],
        "username": user,
        "password": PASSWORD if user == USER else MEMBER_PASSWORD,
        "project_name": user,
    }


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
