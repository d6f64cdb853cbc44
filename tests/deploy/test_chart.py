"""The chart, as Helm's own library renders it, against the schemas of Kubernetes and what it promises."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from documentation import ROOT, checked, page, quoted

from atlas import __version__
from atlas.database.location import Location
from atlas.settings import Settings
from atlas.settings.limits import LONGEST_STOP

helm = pytest.importorskip("helm_python", reason="Helm's library is there for Linux on x86-64 alone")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

CHART = ROOT / "deploy" / "helm" / "atlas-gateway"
VERSIONS = ("1.30", "1.37")  # the oldest that the chart takes, and the newest whose schemas are here
LEAST = {"existingSecret": "atlas", "inngest": {"url": "http://inngest.inngest.svc:8288"}}
INNGEST = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "inngest"}}}
DATABASE = {"to": [{"ipBlock": {"cidr": "10.0.5.0/24"}}], "ports": [{"port": 5432}]}
POLICY = (ROOT / "atlas" / "policy.toml").read_text()
MOST = LEAST | {
    "site": "gateway.example.com",
    "forwardedFrom": ["10.0.0.0/8", "10.9.9.9"],
    "policy": POLICY,
    "mcpServers": {"existingSecret": "servers"},
    "settings": {"ATLAS_RISK_THRESHOLD": "60", "ATLAS_ASSESSOR": "policy"},
    "executeSeconds": 45,
    "metrics": {"enabled": True},
    "ingress": {"enabled": True, "className": "nginx", "annotations": {"a/b": "c"}, "tlsSecret": "tls"},
    "networkPolicy": {"from": [INNGEST], "egress": [DATABASE]},
    "autoscaling": {"enabled": True, "minReplicas": 3},
    "imagePullSecrets": [{"name": "registry"}],
    "image": {"digest": "sha256:" + "0a" * 32},
    "podLabels": {"team": "office"},
    "podAnnotations": {"note": "x"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "own", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "serviceAccount": {"annotations": {"role": "atlas"}},
}
PAGE = yaml.safe_load(checked("chart-values"))
ALL_VALUES = pytest.mark.parametrize(
    "values", [LEAST, MOST, PAGE], ids=["the least", "the most", "those of the page"]
)


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """What an installation would hand to the cluster."""
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name="office", namespace="prod", is_install=True)
    files = [yaml.safe_load_all(text) for name, text in texts.items() if name.endswith(".yaml")]
    return [found for documents in files for found in documents if found]


def one(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The first of a kind."""
    return next(found for found in manifests if found["kind"] == kind)


def jobs(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The Jobs, by what each of them does."""
    found = [one for one in manifests if one["kind"] == "Job"]
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in found}


def kinds(values: dict[str, Any]) -> set[str]:
    """Which kinds there are."""
    return {found["kind"] for found in rendered(values)}


def pods(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The description of each kind of pod."""
    return [found["spec"]["template"]["spec"] for found in manifests if "template" in found.get("spec", {})]


@ALL_VALUES
def test_helm_has_nothing_to_say_against_the_chart(values: dict[str, Any]) -> None:
    """It lints with warnings as errors; an icon is a matter of taste."""
    said = helm.lint(str(CHART), values, strict=True)
    assert (said["total_charts_linted"], said["errors"]) == (1, [])
    assert [note for note in said["messages"] if "icon" not in note["error"]] == []


@ALL_VALUES
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_manifest(values: dict[str, Any], version: str) -> None:
    """By its own schemas, which know each field: one that is misspelled is refused."""
    manifests = rendered(values)
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)
    wrong = one(manifests, "Deployment")
    wrong["spec"]["template"]["spec"]["terminationGraceSeconds"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


@ALL_VALUES
def test_every_object_has_the_usual_labels_and_a_name_of_the_release(values: dict[str, Any]) -> None:
    """Two releases in a namespace do not meet; what a Service selects are the gateways alone."""
    manifests = rendered(values)
    for manifest in manifests:
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "atlas-gateway"
        assert labels["app.kubernetes.io/instance"] == "office"
        assert labels["app.kubernetes.io/version"] == __version__
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert manifest["metadata"]["name"].startswith("office-atlas-gateway")
    selector = one(manifests, "Service")["spec"]["selector"]
    assert selector.items() <= one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    for job in jobs(manifests).values():
        assert not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert one(manifests, kind)["spec"]["selector"]["matchLabels"] == selector


@ALL_VALUES
def test_every_pod_meets_the_restricted_standard(values: dict[str, Any]) -> None:
    """Of the Pod Security Standards, and has a root that it cannot write and no account of the cluster."""
    found = pods(rendered(values))
    assert len(found) == (3 if values.get("policy") else 2)
    for pod in found:
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        own = pod["securityContext"]
        assert own["runAsNonRoot"] is True and own["runAsUser"] > 0 and own["runAsGroup"] > 0
        assert own["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all(volume.keys() & {"emptyDir", "configMap", "secret"} for volume in pod["volumes"])
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            places = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            assert {place for place in places if not places[place].get("readOnly")} == {"/data", "/tmp"}  # noqa: S108


def test_the_user_of_the_pods_is_that_of_the_image() -> None:
    """Which owns what it has to read."""
    [pod, *_] = pods(rendered(LEAST))
    assert f"USER {pod['securityContext']['runAsUser']}:0\n" in (ROOT / "Dockerfile").read_text()


@ALL_VALUES
def test_no_secret_is_in_a_manifest(values: dict[str, Any]) -> None:
    """The Secret is the operator's: the chart makes none, and names the one that is there."""
    manifests = rendered(values)
    assert "Secret" not in {found["kind"] for found in manifests}
    for pod in pods(manifests):
        container = pod["containers"][0]
        whole = [source.get("secretRef") for source in container.get("envFrom", ())]
        single = [
            given["valueFrom"]["secretKeyRef"] for given in container.get("env", ()) if "valueFrom" in given
        ]
        assert {source["name"] for source in [*whole, *single] if source} == {"atlas"}


@pytest.mark.parametrize(("execute", "drain", "grace"), [(300, 10, 330), (45, 0, 65), (3600, 10, 3630)])
def test_a_pod_has_time_to_end_what_it_runs(execute: int, drain: int, grace: int) -> None:
    """More than the gateway takes, which is told the same numbers."""
    manifests = rendered(LEAST | {"executeSeconds": execute, "drainSeconds": drain})
    [gateway, *_] = pods(manifests)
    data = one(manifests, "ConfigMap")["data"]
    told = [data[name] for name in ("ATLAS_EXECUTE_SECONDS", "ATLAS_DRAIN_TIME", "ATLAS_STOP_TIMEOUT")]
    most = int(LONGEST_STOP.total_seconds())
    assert told == [str(execute), f"{drain}s", f"{min(execute, most)}s"]
    assert gateway["terminationGracePeriodSeconds"] == grace > min(execute, most) + drain
    probe = gateway["containers"][0]["readinessProbe"]
    usual = rendered(LEAST)
    assert one(usual, "ConfigMap")["data"]["ATLAS_DRAIN_TIME"] == "10s" and probe["periodSeconds"] < 10
    assert Settings.model_fields["atlas_execute_seconds"].default == 300


def test_figures_are_read_by_whom_the_operator_names_alone() -> None:
    """At a port of their own, which no Service has."""
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    manifests = rendered(LEAST | {"metrics": {"enabled": True, "from": [prometheus]}})
    [gateway, *_] = pods(manifests)
    assert {"name": "metrics", "containerPort": 9464} in gateway["containers"][0]["ports"]
    assert one(manifests, "ConfigMap")["data"]["ATLAS_METRICS_PORT"] == "9464"
    rules = one(manifests, "NetworkPolicy")["spec"]["ingress"]
    assert rules[1] == {"from": [prometheus], "ports": [{"port": "metrics"}]}
    assert [port["name"] for port in one(manifests, "Service")["spec"]["ports"]] == ["http"]
    assert "ATLAS_METRICS_PORT" not in one(rendered(LEAST), "ConfigMap")["data"]


@ALL_VALUES
def test_the_probes_ask_addresses_that_there_are(values: dict[str, Any]) -> None:
    """A pod that answers lives; one that is ready gets calls."""
    [gateway, *_] = pods(rendered(values))
    served = {quoted(row[0])[0] for row in page("docs/reference/endpoints.md").table("endpoint")}
    asked = {
        kind: gateway["containers"][0][f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "liveness", "readiness")
    }
    assert set(asked.values()) <= served
    assert asked == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def test_the_ingress_serves_all_but_what_is_for_the_engine_and_operators() -> None:
    """Every endpoint of the reference is either served or left out on purpose."""
    rule = one(rendered(MOST), "Ingress")["spec"]["rules"][0]
    paths = {path["path"] for path in rule["http"]["paths"]}
    served = {quoted(row[0])[0] for row in page("docs/reference/endpoints.md").table("endpoint")}
    inside = {"/api/inngest", "/healthz", "/readyz", "/metrics"}
    first_parts = {"/" + path.split("/")[1] for path in served - inside}
    assert paths == first_parts | {"/desk"}
    assert rule["host"] == "gateway.example.com"


def test_the_settings_of_the_chart_are_settings_of_the_gateway() -> None:
    """Each by its name, and together they are some with which a gateway starts."""
    manifests = rendered(MOST)
    given = one(manifests, "ConfigMap")["data"]
    assert {name.lower() for name in given} <= Settings.model_fields.keys()
    keys = {"ATLAS_AGENT_KEY": "a" * 32, "ATLAS_REVIEWER_KEY": "b" * 32}
    keys |= {"INNGEST_EVENT_KEY": "0e" * 16, "INNGEST_SIGNING_KEY": "0a" * 32}
    read = Settings.model_validate({name.lower(): value for name, value in (given | keys).items()})
    assert read.inngest_url == "http://inngest.inngest.svc:8288"
    assert {"gateway.example.com", "office-atlas-gateway.prod.svc"} <= set(read.allowed_hosts)
    assert [str(network) for network in read.atlas_forwarded_from] == ["10.0.0.0/8", "10.9.9.9/32"]
    maps = [found["data"] for found in manifests if found["kind"] == "ConfigMap"]
    assert {"policy.toml": POLICY} in maps


def test_only_whom_the_operator_names_comes_in_and_only_there_the_gateways_go() -> None:
    """Beside the namespace itself and the names of the cluster."""
    policy = one(rendered(MOST), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"from": [{"podSelector": {}}, INNGEST], "ports": [{"port": "http"}]}]
    names, namespace, *named = policy["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert namespace == {"to": [{"podSelector": {}}]} and named == [DATABASE]
    closed = one(rendered(LEAST), "NetworkPolicy")["spec"]
    assert closed["egress"] == [names, namespace]
    assert "NetworkPolicy" not in kinds(LEAST | {"networkPolicy": {"enabled": False}})


def test_the_tables_are_moved_before_the_pods_and_need_nothing_that_the_chart_makes() -> None:
    """As a hook it runs when the ConfigMap, the account and the NetworkPolicy are not there yet."""
    job = jobs(rendered(LEAST))["migration"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "atlas.database", "migrate"]
    assert "envFrom" not in container
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]
    assert "Job" not in kinds(LEAST | {"migration": {"enabled": False}})


SECRET = {
    "ATLAS_DATABASE_URL": "postgresql://atlas:word@db.example.org/atlas",
    "ATLAS_AGENT_KEY": "a" * 32,
    "ATLAS_REVIEWER_KEY": "b" * 32,
    "INNGEST_EVENT_KEY": "0e" * 16,
    "INNGEST_SIGNING_KEY": "0a" * 32,
}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"ATLAS_OIDC_CLIENT_SECRET": "word"},
        {"ATLAS_SLACK_BOT_TOKEN": "xoxb-1-word"},
        {"ATLAS_PROXY_SECRET": "c" * 32},
        {"ATLAS_AGENT_KEY": "desk:" + "a" * 32},
        {"PGPASSWORD": "word"},
    ],
    ids=lambda more: next(iter(more), "the least"),
)
def test_the_tables_are_moved_whichever_settings_are_in_the_secret(
    more: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Right: the Job reads no half of a pair. Wrong: it refuses settings with which a gateway would start."""
    [container] = jobs(rendered(LEAST))["migration"]["spec"]["template"]["spec"]["containers"]
    given = environment_of(container, SECRET | more)
    monkeypatch.chdir(tmp_path)  # where no .env is
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Location.of(Settings.read()).url == SECRET["ATLAS_DATABASE_URL"]
    assert given.get("PGPASSWORD") == more.get("PGPASSWORD")


def environment_of(container: dict[str, Any], secret: dict[str, str]) -> dict[str, str]:
    """What a container gets: the variables of the image, and what its manifest takes from the Secret."""
    image = re.findall(r"(ATLAS_\w+)=(\S+)", (ROOT / "Dockerfile").read_text())
    given = dict(image)
    for source in container.get("envFrom", ()):
        given |= secret if "secretRef" in source else {}
    for one_of_it in container.get("env", ()):
        key = one_of_it.get("valueFrom", {}).get("secretKeyRef", {})
        value = secret.get(key["key"]) if key else one_of_it["value"]
        assert value is not None or key.get("optional"), f"the container does not start without {key}"
        given |= {} if value is None else {one_of_it["name"]: value}
    return given


def test_a_policy_of_the_values_is_put_in_force_by_each_upgrade() -> None:
    """Right: gateways judge by it. Wrong: they go on with the policy that their database keeps.

    That the command puts it in force, and that the same one makes no new version, is shown on PostgreSQL by
    tests/acceptance/test_one_policy.py.
    """
    manifests = rendered(MOST)
    job, gateway = jobs(manifests)["policy"], one(manifests, "Deployment")["spec"]["template"]["spec"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    [container] = job["spec"]["template"]["spec"]["containers"]
    words = ["python", "-m", "atlas.assessors.policy", "put", "/etc/atlas/policy.toml", "--by", "helm"]
    assert container["command"] == words
    assert container["envFrom"] == gateway["containers"][0]["envFrom"]
    of_policy = {"name": "policy", "configMap": {"name": "office-atlas-gateway-policy"}}
    assert of_policy in job["spec"]["template"]["spec"]["volumes"] and of_policy in gateway["volumes"]
    assert one(manifests, "ConfigMap")["data"]["ATLAS_POLICY"] == "/etc/atlas/policy.toml"
    assert "policy" not in jobs(rendered(LEAST))


@pytest.mark.parametrize(
    ("more", "budget"),
    [
        ({}, True),
        ({"replicaCount": 1}, False),  # it would keep the node from ever being emptied
        ({"replicaCount": 1, "autoscaling": {"enabled": True}}, True),
        ({"podDisruptionBudget": {"enabled": False}}, False),
    ],
)
def test_there_is_a_budget_where_there_is_more_than_one(more: dict[str, Any], budget: bool) -> None:
    """And replicas are counted in one place: by the chart, or by the autoscaler."""
    manifests = rendered(LEAST | more)
    assert ("PodDisruptionBudget" in {found["kind"] for found in manifests}) == budget
    scales = more.get("autoscaling", {}).get("enabled", False)
    assert ("HorizontalPodAutoscaler" in {found["kind"] for found in manifests}) == scales
    assert ("replicas" in one(manifests, "Deployment")["spec"]) != scales


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"existingSecret": ""}, "existingSecret names no Secret"),
        ({"inngest": {"url": ""}}, "inngest.url names no Inngest server"),
        ({"inngest": {"url": "http://name:password@inngest"}}, "does not match pattern"),
        ({"site": "https://gateway.example.com"}, "does not match pattern"),
        ({"ingress": {"enabled": True}}, "site names no host"),
        ({"image": {"tag": "latest"}}, "/image/tag"),
        ({"forwardedFrom": ["0.0.0.0/0"]}, "/forwardedFrom/0"),
        ({"settings": {"ATLAS_RISK_THRESHOLD": 60}}, "got number, want string"),
        ({"settings": {"OPENAI_API_KEY": "sk-1"}}, "invalid propertyName"),
        ({"settings": {"ATLAS_PORT": "9000"}}, "invalid propertyName"),
        ({"replicas": 3}, "additional properties 'replicas' not allowed"),
        ({"executeSeconds": 0}, "minimum"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(more: dict[str, Any], said: str) -> None:
    """With the name of the value, before anything is installed."""
    with pytest.raises(helm.HelmError) as refused:
        rendered(LEAST | more)
    assert said in str(refused.value)


def test_no_setting_that_is_a_secret_can_be_written_into_the_values() -> None:
    """A secret that is added to the gateway has to be added to the schema too."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    refused = set(schema["properties"]["settings"]["propertyNames"]["not"]["enum"])
    fields = Settings.model_fields.items()
    secret = {name.upper() for name, field in fields if "Secret" in repr(field.annotation)}
    assert secret | {"ATLAS_DATABASE_URL"} <= refused
    own = set(one(rendered(MOST), "ConfigMap")["data"]) - MOST["settings"].keys()
    assert own <= refused


def test_each_value_is_described_and_checked() -> None:
    """By a comment above it or above its group, and by the schema; versions are the gateway's."""
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["properties"].keys() - {"global"} == yaml.safe_load(text).keys()
    assert all(group.startswith("#") for group in text.split("\n\n"))
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
