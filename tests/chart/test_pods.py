"""What every pod of the chart keeps to, and what the serving pod promises: gate, mounts, token, GPU, time to stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chart.conftest import Render
from chart.objects import Objects, env_of
from inference.server.config import ServerConfig
from modelcache_operator.core import names
from modelcache_operator.core.job_defaults import NO_DEFAULTS
from support.helm import CHART
from support.podsecurity import containers, restricted_problems

Json = dict[str, Any]
Rendered = Callable[[str], Objects]
VERSION = (CHART.parents[1] / "VERSION").read_text().strip()


def test_every_pod_meets_the_restricted_standard(objects: Objects) -> None:
    assert {name: found for name, pod in objects.pods() if (found := restricted_problems(pod["spec"]))} == {}


def test_every_root_file_system_is_read_only(objects: Objects) -> None:
    for name, pod in objects.pods():
        for container in containers(pod["spec"]):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, f"{name}: {container['name']}"


def test_the_operator_alone_gets_a_service_account_token(objects: Objects) -> None:
    with_token = [name for name, pod in objects.pods() if pod["spec"]["automountServiceAccountToken"] is not False]
    assert all(name.endswith("-operator") for name in with_token)


def test_all_pods_run_as_the_user_of_the_images(rendered: Rendered) -> None:
    for _, pod in rendered("defaults").pods():
        security = pod["spec"]["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (65532, 65532, 65532)
    assert rendered("defaults").job()["podSecurityContext"]["runAsUser"] == 65532


USERS = {"runAsUser", "runAsGroup", "fsGroup"}


def test_where_the_cluster_hands_out_users_no_pod_names_one(rendered: Rendered) -> None:
    objects = rendered("users handed out by the cluster")
    assert [name for name, pod in objects.pods() if USERS & set(pod["spec"]["securityContext"])] == []
    assert len(list(objects.pods())) > 2
    assert objects.job()["runAsDefaultUser"] is False
    assert not USERS & set(objects.job()["podSecurityContext"])


def test_users_that_are_taken_out_by_null_are_not_put_back_by_the_operator(rendered: Rendered) -> None:
    objects = rendered("users taken out by null")
    assert "runAsUser" not in objects.server()["securityContext"]
    security = objects.job()["podSecurityContext"]
    assert {key: security[key] for key in USERS} == dict.fromkeys(USERS)


def test_the_job_alone_may_run_as_a_user_that_the_cluster_hands_out(render: Render) -> None:
    objects = render(cache={"job": {"runAsDefaultUser": False}})
    assert not USERS & set(objects.job()["podSecurityContext"])
    assert objects.server()["securityContext"]["runAsUser"] == 65532


def test_the_token_reaches_sync_containers_only_and_by_reference(render: Render) -> None:
    objects = render(cache={"auth": {"secretName": "hf", "key": "read"}})
    holders = {
        (name, container["name"]): env_of(container)["HF_TOKEN"]
        for name, pod in objects.pods()
        for container in containers(pod["spec"])
        if "HF_TOKEN" in env_of(container)
    }
    reference = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "read"}}}
    assert holders == {("multitalk-modelcache-inference", "init-sync"): reference}
    assert objects.one("ModelCache")["spec"]["auth"] == {"secretName": "hf", "key": "read"}


def test_the_serving_pod_joins_its_cache_as_the_operator_expects(rendered: Rendered) -> None:
    objects = rendered("defaults")
    template = objects.one("Deployment", "inference")["spec"]["template"]
    assert template["metadata"]["labels"][names.CACHE_LABEL] == objects.one("ModelCache")["metadata"]["name"]
    assert template["spec"]["schedulingGates"] == [{"name": names.GATE}]
    (sync,) = template["spec"]["initContainers"]
    assert sync["name"] == names.SYNC_CONTAINER
    assert sync["args"] == [
        *("sync", "--spec", "/etc/modelcache/modelcache.yaml", "--volume", "/models", "--metrics-port", "9464"),
    ]
    volumes = {each["name"]: each for each in template["spec"]["volumes"]}
    assert volumes["manifest"]["configMap"]["name"] == names.config_map_name("multitalk")


def test_the_server_mounts_the_models_read_only(objects: Objects) -> None:
    for name, pod in objects.pods():
        for container in pod["spec"]["containers"]:
            for mount in container.get("volumeMounts", ()):
                writes = container["name"] == "prepare"
                assert mount["name"] != "models" or writes or mount["readOnly"] is True, name


@pytest.mark.parametrize(
    ("name", "gated"),
    [("defaults", True), ("standalone", False), ("no job", False), ("inference of an existing cache", True)],
)
def test_pods_are_gated_where_a_job_proves_the_cache(rendered: Rendered, name: str, gated: bool) -> None:
    assert ("schedulingGates" in rendered(name).server()) is gated


def test_a_new_manifest_restarts_the_pods_that_sync_themselves(render: Render) -> None:
    def annotation(*models: dict[str, str]) -> str:
        objects = render(operator={"enabled": False}, cache={"standalone": True, "models": models})
        template = objects.one("Deployment", "inference")["spec"]["template"]
        return str(template["metadata"]["annotations"]["modelcache.dev/manifest"])

    first = {"name": "a", "repo": "owner/a", "path": "a"}
    assert annotation(first) == annotation(first) != annotation({**first, "revision": "v2"})


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("defaults", "Recreate"),
        ("one pod", "Recreate"),
        ("several nodes", "RollingUpdate"),
        ("everything", "RollingUpdate"),
    ],
)
def test_pods_are_replaced_one_after_the_other_only_where_both_can_mount(
    rendered: Rendered, name: str, strategy: str
) -> None:
    assert rendered(name).one("Deployment", "inference")["spec"]["strategy"]["type"] == strategy


def test_one_value_places_job_and_server_alike(rendered: Rendered) -> None:
    server, job = rendered("everything").server(), rendered("everything").job()
    zone = {"kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "a"}
    assert server["nodeSelector"] == {**zone, "gpu": "a100"}
    assert job["nodeSelector"] == {**zone, "disk": "ssd"}
    assert server["tolerations"] == job["tolerations"]
    assert len(job["tolerations"]) == 2


def test_a_volume_of_one_node_keeps_job_and_server_together(rendered: Rendered) -> None:
    for name, together in (("defaults", True), ("one pod", True), ("several nodes", False)):
        server, job = rendered(name).server(), rendered(name).job()
        assert ("affinity" in server, "affinity" in job) == (together, together)
    (term,) = rendered("defaults").job()["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchLabels"] == {names.CACHE_LABEL: "multitalk"}
    assert term["topologyKey"] == "kubernetes.io/hostname"
    affinity = rendered("defaults").server()["affinity"]["podAffinity"]
    (preferred,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert (preferred["podAffinityTerm"], len(affinity)) == (term, 1)


def test_two_servers_on_a_volume_of_one_node_must_be_together(render: Render) -> None:
    objects = render(inference={"replicas": 2})
    assert objects.server()["affinity"] == objects.job()["affinity"]


def test_what_the_user_says_of_the_job_beats_the_chart(rendered: Rendered) -> None:
    job = rendered("everything").job()
    assert job["resources"] == {"limits": {"memory": "2Gi"}, "requests": {"cpu": "500m", "memory": "256Mi"}}
    assert (job["activeDeadlineSeconds"], job["backoffLimit"]) == (3600, 0)
    assert [each["name"] for each in job["env"]] == ["HF_ENDPOINT", "HF_HUB_OFFLINE", "A"]


def test_the_gpu_is_a_limit_and_none_means_the_processor(rendered: Rendered) -> None:
    def resources(name: str) -> Any:
        return rendered(name).server()["containers"][0]["resources"]

    assert resources("defaults")["limits"] == {"nvidia.com/gpu": 1, "memory": "80Gi"}
    assert resources("another GPU")["limits"] == {"nvidia.com/mig-3g.40gb": 1, "memory": "64Gi"}
    assert resources("no GPU")["limits"] == {"memory": "80Gi"}
    assert "--device=cuda" in rendered("defaults").args("inference")
    assert "--device=cpu" in rendered("no GPU").args("inference")
    assert rendered("another GPU").server()["runtimeClassName"] == "nvidia"


def test_several_gpus_of_a_pod_make_one_video_and_have_memory_to_exchange_through(rendered: Rendered) -> None:
    def shared_memory(name: str) -> list[str]:
        return [each["emptyDir"]["sizeLimit"] for each in rendered(name).server()["volumes"] if each["name"] == "shm"]

    assert "--gpus=4" in rendered("several GPUs").args("inference")
    assert rendered("several GPUs").server()["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert not any("--gpus" in arg for arg in rendered("defaults").args("inference"))
    assert [shared_memory(name) for name in ("several GPUs", "defaults", "no GPU")] == [["4Gi"], ["1Gi"], ["1Gi"]]
    assert shared_memory("everything") == []


def test_settings_become_flags_of_the_server(rendered: Rendered) -> None:
    args = rendered("everything").args("inference")
    for flag in ("--queue=2", "--lora=/lora/a,/lora/b=0.5", "--compile", "--memory-limit-gib=20.5", "--scratch-gib=8"):
        assert flag in args


def test_keys_come_from_the_secret_into_the_file_that_the_server_reads(render: Render) -> None:
    objects = render(inference={"apiKeySecret": {"name": "clients", "key": "all"}})
    pod = objects.server()
    (volume,) = [each for each in pod["volumes"] if each["name"] == "api-keys"]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "api-keys"]
    assert volume["secret"] == {"secretName": "clients", "items": [{"key": "all", "path": "keys"}]}
    assert f"--api-key-file={mount['mountPath']}/keys" in objects.args("inference")
    assert "api-keys" not in [each["name"] for each in render().server()["volumes"]]


def test_uploads_and_results_may_lie_on_a_claim(render: Render) -> None:
    pod = render(inference={"scratchClaim": "videos", "strategy": "Recreate"}).server()
    (volume,) = [each for each in pod["volumes"] if each["name"] == "scratch"]
    assert volume == {"name": "scratch", "persistentVolumeClaim": {"claimName": "videos"}}


def test_the_server_answers_to_the_names_of_its_service_and_to_those_of_the_user(render: Render) -> None:
    from inference.server.config import read_config
    from inference.server.hosts import allowed_host

    objects = render(inference={"allowedHosts": ["video.example", ".apps.example"]})
    (service,) = [each for each in objects.of("Service") if each["metadata"]["name"].endswith("-inference")]
    name, namespace = service["metadata"]["name"], "models"
    allowed = read_config(objects.args("inference"), {}).allowed_hosts
    for host in (name, f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local"):
        assert allowed_host(f"{host}:8000", allowed)
    assert allowed_host("video.example", allowed)
    assert allowed_host("a.apps.example", allowed)
    assert not allowed_host(f"{name}.evil.example", allowed)


def test_the_memory_of_the_server_has_room_for_uploads_and_for_what_a_small_gpu_leaves(rendered: Rendered) -> None:
    limit = rendered("defaults").server()["containers"][0]["resources"]["limits"]["memory"]
    config = ServerConfig(spec=Path("s"), volume=Path("v"))
    uploads, on_the_host, process = 2 * config.media_limits.memory_bytes, 56e9, 8 * 2**30
    assert int(limit.removesuffix("Gi")) * 2**30 > uploads + on_the_host + process


def test_the_server_takes_all_its_flags(objects: Objects) -> None:
    from inference.server.config import read_config

    for each in objects.of("Deployment"):
        if each["metadata"]["name"].endswith("-inference"):
            config = read_config(each["spec"]["template"]["spec"]["containers"][0]["args"], {})
            assert isinstance(config, ServerConfig)


@pytest.mark.parametrize(("values", "formats"), [({}, set()), ({"logFormat": "json"}, {"json"})], ids=["text", "json"])
def test_one_value_sets_the_format_of_every_log(render: Render, values: Json, formats: set[str]) -> None:
    objects = render(**values)
    init_sync = objects.server()["initContainers"][0]["args"]
    assert set(init_sync[init_sync.index("--log-format") + 1 :] if "--log-format" in init_sync else ()) == formats
    for component in ("operator", "inference"):
        found = {each.partition("=")[2] for each in objects.args(component) if each.startswith("--log-format")}
        assert found == formats
    assert {objects.job_defaults()["logFormat"]} == (formats or {"text"})


def test_the_operator_takes_all_its_flags(objects: Objects, tmp_path: Path) -> None:
    from modelcache_operator.app.settings import read_settings

    for each in objects.of("ConfigMap"):
        for name, text in each.get("data", {}).items():
            (tmp_path / name).write_text(text)
    for each in objects.of("Deployment"):
        if each["metadata"]["name"].endswith("-operator"):
            args = each["spec"]["template"]["spec"]["containers"][0]["args"]
            args = [arg.replace("/etc/modelcache", str(tmp_path)) for arg in args]
            settings = read_settings(args, {"POD_NAMESPACE": "x"})
            assert settings.job_defaults == objects.job_defaults()
            assert settings.lease_namespace == "x"
            assert settings.lease_name == "modelcache-operator"


def test_what_is_running_has_time_to_end(render: Render) -> None:
    objects = render(inference={"terminationGracePeriodSeconds": 600, "settings": {"lingerS": 30}})
    args = objects.args("inference")
    assert "--linger-s=30" in args
    assert "--grace-s=555" in args, "600 less 30 to linger, 5 of preStop and 10 to close"
    assert objects.server()["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}


def test_a_load_of_90_gb_and_a_day_at_the_gate_are_no_failures(rendered: Rendered) -> None:
    deployment = rendered("defaults").one("Deployment", "inference")
    probe = deployment["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 3600
    assert deployment["spec"]["progressDeadlineSeconds"] >= 24 * 3600


def test_the_scratch_volume_is_larger_than_what_the_server_may_put_there(objects: Objects) -> None:
    for each in objects.of("Deployment"):
        pod = each["spec"]["template"]["spec"]
        for volume in pod.get("volumes", ()):
            if volume["name"] == "scratch":
                limit = int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi"))
                (flag,) = (arg for arg in pod["containers"][0]["args"] if arg.startswith("--scratch-gib="))
                assert limit > int(flag.partition("=")[2]) >= 4


def test_images_come_from_the_registry_by_tag_or_by_digest(rendered: Rendered) -> None:
    def images(name: str) -> set[str]:
        return {container["image"] for _, pod in rendered(name).pods() for container in containers(pod["spec"])}

    assert images("defaults") == {f"modelcache/{each}:{VERSION}" for each in ("operator", "init-sync", "inference")}
    assert all(image.startswith("registry.example:5000/mirror/modelcache/") for image in images("air-gapped"))
    assert all("@sha256:" in image for image in images("digests"))
    (flag,) = (arg for arg in rendered("digests").args("operator") if arg.startswith("--sync-image="))
    assert flag.partition("=")[2] in images("digests")


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ({"configMapName": "corp"}, {"configMap": {"name": "corp", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}),
        (
            {"secretName": "corp", "key": "a.pem"},
            {"secret": {"secretName": "corp", "items": [{"key": "a.pem", "path": "ca.crt"}]}},
        ),
    ],
    ids=["ConfigMap", "Secret"],
)
def test_job_and_init_container_trust_the_same_certificates(render: Render, given: Json, source: Json) -> None:
    objects = render(sync={"caBundle": given})
    server, job = objects.server(), objects.job()
    (init,) = server["initContainers"]
    volume = {"name": "ca-bundle", **source}
    mount = {"name": "ca-bundle", "mountPath": "/etc/modelcache-ca", "readOnly": True}
    assert volume in server["volumes"]
    assert volume in job["volumes"]
    assert mount in init["volumeMounts"]
    assert mount in job["volumeMounts"]
    file = {"name": "SSL_CERT_FILE", "value": "/etc/modelcache-ca/ca.crt"}
    assert env_of(init)["SSL_CERT_FILE"] == env_of(job)["SSL_CERT_FILE"] == file


def test_more_volumes_and_variables_of_any_kind_reach_job_and_init_container(render: Render) -> None:
    volume = {"name": "keys", "secret": {"secretName": "client-keys"}}
    mount = {"name": "keys", "mountPath": "/keys", "readOnly": True}
    variable = {"name": "PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}}
    objects = render(sync={"extraVolumes": [volume], "extraVolumeMounts": [mount], "env": [variable]})
    (init,) = objects.server()["initContainers"]
    assert volume in objects.server()["volumes"]
    assert mount in init["volumeMounts"]
    assert env_of(init)["PROXY"] == variable
    job = objects.job()
    assert (job["volumes"], job["volumeMounts"], job["env"]) == ([volume], [mount], [variable])


SHARED = {"sync": {"endpoint": "http://hub.example", "resources": {"limits": {"memory": "3Gi"}}}}


def test_an_operator_has_what_jobs_share_from_its_defaults_and_the_cache_does_not_repeat_it(render: Render) -> None:
    objects = render(**SHARED)
    assert not {"env", "resources", "podSecurityContext"} & set(objects.one("ModelCache")["spec"]["sync"]["job"])
    assert objects.job_defaults()["resources"]["limits"] == {"memory": "3Gi"}


def test_for_the_operator_of_another_release_the_cache_has_it_all(render: Render) -> None:
    here = render(**SHARED).job()
    other = render(operator={"enabled": False}, **SHARED)
    assert other.job_defaults() == NO_DEFAULTS
    assert other.job() == here


def test_new_defaults_restart_the_operator_and_nothing_else_does(render: Render) -> None:
    def checksum(**values: Any) -> str:
        template = render(**values).one("Deployment", "operator")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/sync"])

    assert checksum() == checksum(inference={"replicas": 2}) != checksum(sync={"endpoint": "http://hub.example"})


def test_an_air_gapped_cluster_syncs_from_its_mirror(rendered: Rendered) -> None:
    objects = rendered("air-gapped")
    endpoint = {"name": "HF_ENDPOINT", "value": "http://hub.example:8080"}
    assert endpoint in objects.job()["env"]
    assert endpoint in objects.server()["initContainers"][0]["env"]
    assert objects.job()["imagePullSecrets"] == objects.server()["imagePullSecrets"] == [{"name": "pull"}]


def test_an_upgrade_without_changes_to_a_pod_restarts_none(objects: Objects) -> None:
    for name, pod in objects.pods():
        if "readyz" not in name:
            assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(pod["metadata"]["labels"]), name
