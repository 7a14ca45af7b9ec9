"""Reads docs/openapi.json as a stranger does: it is valid, a Python client can be made of it, and that client works.

Takes the address of a running programme, its folder, the document, and a folder for the client.
"""

import importlib
import json
import pkgutil
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

from openapi_spec_validator import validate

URL, FOLDER, DOCUMENT, OUTPUT = sys.argv[1], *map(Path, sys.argv[2:5])
TOOLS = Path(sys.executable).parent


def validated():
    document = json.loads(DOCUMENT.read_text())
    validate(document)
    return document


def made():
    """The client, made anew and imported whole."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    make = [TOOLS / "openapi-python-client", "generate", "--path", DOCUMENT, "--meta", "none", "--fail-on-warning"]
    # It calls the formatter that stands beside it.
    environment = {"PATH": f"{TOOLS}:/usr/bin:/bin"}
    subprocess.run([*make, "--output-path", OUTPUT / "hunch_client"], check=True, env=environment)
    sys.path.insert(0, str(OUTPUT))
    client = importlib.import_module("hunch_client")
    modules = [module.name for module in pkgutil.walk_packages(client.__path__, "hunch_client.")]
    for name in modules:
        importlib.import_module(name)
    return modules


def module(modules, operation):
    name = next(name for name in modules if name.endswith("." + operation))
    return importlib.import_module(name)


def works(modules):
    """An anonymous question, one that is refused, and an operator's create, all through the client's own types."""
    from hunch_client import AuthenticatedClient, Client
    from hunch_client.models import AddMerchant, MerchantAdded, ProblemBody

    health = module(modules, "healthz").sync(client=Client(URL))
    assert health.status == "ok", health
    operator = AuthenticatedClient(URL, (FOLDER / "operator-token").read_text().strip())
    merchant = AddMerchant(
        merchant=uuid.uuid4(), name="Rosa's Bakery", category="bakery", zone="America/New_York", currency="USD",
        points_per_unit=1, per_cents=100, points_max=100,
    )
    added = module(modules, "post_merchant").sync_detailed(client=operator, body=merchant)
    assert isinstance(added.parsed, MerchantAdded) and added.parsed.merchant == merchant.merchant, added
    stranger = AuthenticatedClient(URL, "nonsense")
    refused = module(modules, "balance").sync_detailed(client=stranger)
    problem = refused.parsed or ProblemBody.from_dict(json.loads(refused.content))
    assert refused.status_code == 401 and problem.type_ == "/problems/unauthenticated", refused


def main():
    document = validated()
    modules = made()
    works(modules)
    operations = sum(len(item) for item in document["paths"].values())
    print(f"   the document is valid; a Python client of {len(modules)} modules for {operations} operations works")


main()
