"""Endpoints have few names, whatever paths are called."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.metering.endpoint import MAX_ENDPOINTS, OTHER, Endpoints


def endpoint(path, template=None, **values):
    scope = {"path": path, "path_params": values}
    if template is not None:
        scope["route"] = SimpleNamespace(path=template, endpoint=endpoint)
    return Endpoints().of(scope)


@pytest.mark.parametrize(
    ("path", "template", "values", "expected"),
    [
        ("/chat", "/chat", {}, "/chat"),
        ("/users/ann/chat", "/users/{name}/chat", {"name": "ann"}, "/users/{name}/chat"),
        ("/items/7", "/items/{id:int}", {"id": 7}, "/items/{id:int}"),
        ("/files/a/b/c", "/files/{rest:path}", {"rest": "a/b/c"}, "/files/{rest:path}"),
        ("/files/", "/files/{rest:path}", {"rest": ""}, "/files/{rest:path}"),
        ("/", "/", {}, "/"),
        ("/v1/chat", "", {}, "/v1/chat"),
        # Mounts, routers with a prefix, and the server's root path stand above the template.
        ("/api/v1/chat", "/chat", {}, "/api/v1/chat"),
        (
            "/root/acme/users/7",
            "/users/{id}",
            {"tenant": "acme", "id": "7"},
            "/root/{tenant}/users/{id}",
        ),
        ("/x/users/x", "/users/{id}", {"tenant": "x", "id": "x"}, "/{tenant}/users/{id}"),
    ],
)
def test_the_template_stands_for_all_that_match_it(path, template, values, expected):
    assert endpoint(path, template, **values) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/chat", "/v1/chat"),
        ("/users/42/chat", "/users/{id}/chat"),
        ("/models/gpt-4o", "/models/gpt-4o"),
        ("/jobs/0f8fad5b-d9cb-469f-a165-70867728950e", "/jobs/{id}"),
        ("/keys/9f86d081884c7d65", "/keys/{id}"),
        ("/share/V1StGXR8_Z5jdHi6B-myT", "/share/{id}"),
        ("/people/ann@example.com", "/people/{id}"),
        ("", ""),
    ],
)
def test_a_path_without_a_template_loses_its_ids(path, expected):
    assert endpoint(path) == expected


def test_a_mount_that_is_no_router_is_named_by_its_path():
    scope = {"path": "/static/a.js", "route": SimpleNamespace(path="/static"), "path_params": {}}

    assert Endpoints().of(scope) == "/static/a.js"


def test_parameters_are_named_where_only_they_are_known():
    assert endpoint("/tenants/acme/report", tenant="acme") == "/tenants/{tenant}/report"
    assert endpoint("/files/", rest="") == "/files/"


def test_somebody_who_makes_up_paths_makes_up_no_endpoints():
    endpoints = Endpoints()
    made_up = ["/" + "".join(chr(97 + (n >> 3 * i) % 8) for i in range(5)) for n in range(8**4)]

    found = {endpoints.of({"path": path}) for path in made_up}
    assert len(found) == MAX_ENDPOINTS + 1
    assert endpoints.of({"path": made_up[0]}) == made_up[0]
    assert endpoints.of({"path": "/new"}) == OTHER


def test_a_long_path_is_cut():
    assert len(endpoint("/" + "ab/" * 5000).encode()) <= 256


@given(
    st.text(max_size=60),
    st.none() | st.text(max_size=30),
    st.dictionaries(st.text(max_size=4), st.text(max_size=6) | st.integers(), max_size=3),
)
def test_any_path_has_an_endpoint(path, template, values):
    scope = {"path": path, "path_params": values}
    if template is not None:
        scope["route"] = SimpleNamespace(path=template, endpoint=1)

    assert len(Endpoints().of(scope).encode()) <= 256
    assert not re.search(r"/\d+(/|$)", Endpoints().of({"path": path}), re.ASCII)
