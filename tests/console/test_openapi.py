"""The description is whole: every reference resolves, every error is a Problem, nothing comes from another machine."""

import json
import re

import httpx
from fastapi import FastAPI


def test_every_reference_resolves(app: FastAPI) -> None:
    described = app.openapi()
    assert described["openapi"] == "3.1.0"
    schemas = described["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described)))
    assert references <= set(schemas)
    assert {"App", "Source", "Dataset", "Problem", "Overview"} <= set(schemas)
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}, (method, path)
            assert operation.get("description"), (method, path)


async def test_docs_need_no_network(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console") as client:
        for path in ("/docs", "/redoc"):
            page = await client.get(path)
            assert page.status_code == 200
            assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
            for target in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
                assert (await client.get(target)).status_code == 200
