"""The OpenAPI description, the pages for people and the metrics."""

from __future__ import annotations

import re
from typing import get_args
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inference.generation import ApiField
from inference.server import metrics
from inference.server.fields import SAMPLING_FIELDS, VideoFields
from inference.server.multipart import FILE_FIELDS
from inference_server.harness import RunningServer


def test_openapi_describes_every_field_of_the_form_and_every_error(server: RunningServer) -> None:
    api = server.http.get("/openapi.json").json()
    post = api["paths"]["/v1/videos"]["post"]
    form = post["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {*VideoFields.model_fields, *SAMPLING_FIELDS, *FILE_FIELDS}
    assert set(get_args(ApiField)) < set(form["properties"])
    assert all(field["description"] for field in form["properties"].values())
    assert (form["properties"]["steps"]["minimum"], form["properties"]["steps"]["maximum"]) == (1, 100)
    assert form["required"] == ["prompt", "input_reference"]
    assert "422" not in server.http.get("/openapi.json").text
    assert {"200", "400", "404", "408", "413", "415", "429", "503"} <= set(post["responses"])
    assert set(api["paths"]) == {
        "/v1/videos", "/v1/videos/{video_id}", "/v1/videos/{video_id}/content",
        "/v1/models", "/v1/models/{model_id}", "/v1/estimate", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip


def test_every_reference_in_the_openapi_description_leads_somewhere(server: RunningServer) -> None:
    text = server.http.get("/openapi.json").text
    api = server.http.get("/openapi.json").json()
    for name in re.findall(r'"#/components/schemas/(\w+)"', text):
        assert name in api["components"]["schemas"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_pages_use_nothing_from_elsewhere(server: RunningServer, path: str) -> None:
    answer = server.http.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    for source in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert source.startswith(("/", "data:,"))
        if source.startswith("/"):
            assert server.http.get(source).status_code == 200


def test_every_documented_series_is_exported_and_every_exported_one_documented(server: RunningServer) -> None:
    server.wait_status(server.create(), "completed")
    exported = {
        sample.name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        for family in text_string_to_metric_families(server.http.get("/metrics").text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    documented = set(re.findall(r"^    (multitalk_\w+)", metrics.__doc__ or "", re.MULTILINE))
    assert exported == documented - {"multitalk_gpu_memory_bytes", "multitalk_load_bytes"}


def test_metrics_tell_what_happened(server: RunningServer) -> None:
    server.wait_status(server.create(steps="3"), "completed")
    server.post(prompt=None)
    assert server.metric("multitalk_requests_total", status="completed") == 1
    assert server.metric("multitalk_requests_total", status="invalid") == 1
    assert server.metric("multitalk_step_seconds_count") == 3
    assert server.metric("multitalk_generation_seconds_count") == 1
    assert server.metric("multitalk_video_seconds_total") == pytest.approx(0.4)
    assert server.metric("multitalk_queue_depth") == 0
    assert server.metric("multitalk_running") == 0
    assert server.metric("multitalk_http_requests_total", method="POST", route="/v1/videos", code="200") == 1


@pytest.mark.parametrize(
    ("method", "path", "headers", "counted"),
    [
        ("GET", "/made/up/{}", {}, {"method": "GET", "route": "none", "code": "404"}),
        ("MADEUP{}", "/v1/videos", {}, {"method": "other", "route": "/v1/videos", "code": "405"}),
        ("MADEUP{}", "/made/up/{}", {}, {"method": "other", "route": "none", "code": "404"}),
        ("HEAD", "/v1/videos/{}", {}, {"method": "HEAD", "route": "/v1/videos/{video_id}", "code": "404"}),
        ("GET", "/v1/videos/video_{}", {}, {"method": "GET", "route": "/v1/videos/{video_id}", "code": "404"}),
        ("GET", '/"}} 1\nfake{{a="{}', {}, {"method": "GET", "route": "none", "code": "404"}),
        ("GET", "/", {"host": "{}.evil.example"}, {"method": "GET", "route": "none", "code": "403"}),
    ],
)
def test_nothing_in_a_request_becomes_a_label(
    server: RunningServer, method: str, path: str, headers: dict[str, str], counted: dict[str, str]
) -> None:
    def ask(number: object) -> None:
        given = {name: value.format(number) for name, value in headers.items()}
        server.http.request(method.format(number), quote(path.format(number)), headers=given)

    ask("A" * 30_000 if "MADEUP" in method else "A")
    before = [server.http.get("/metrics").text for _ in range(2)][-1]  # the first counts itself
    for number in range(4):
        ask(number)
    assert server.http.get("/metrics").text.count("\n") == before.count("\n")
    assert server.metric("multitalk_http_requests_total", **counted) == 5
