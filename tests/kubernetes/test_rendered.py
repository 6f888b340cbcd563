"""What is applied to a cluster: valid, safe, and consistent with itself. A cluster is not among what is tested with."""
import copy
import json
import re
import pathlib
import subprocess
import sys

import pytest
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import monitoring  # noqa: E402
from rendered import FOLDER, FOLDERS, KUBECTL, OVERLAYS, pods_of, render, schema_problems, scoregate_of, variables_of, without_order


def minor_version(kubectl):
    told = subprocess.run([KUBECTL[kubectl], "version", "--client", "-o", "json"], check=True, capture_output=True, text=True)
    return int(json.loads(told.stdout)["clientVersion"]["minor"])


def test_the_kubectls_are_of_two_generations():
    assert minor_version("1.20") == 20
    assert minor_version("current") >= 35


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_kubectl_renders_the_same(folder):
    assert without_order(render(folder, "1.20")) == without_order(render(folder, "current"))


def test_every_object_is_what_its_schema_wants():
    named = {(kubectl, folder, *name): each for kubectl in KUBECTL for folder in FOLDERS for name, each in render(folder, kubectl).items()}
    assert dict(zip(named, schema_problems(list(named.values())))) == dict.fromkeys(named)


def test_the_schemas_refuse_what_is_wrong():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"type": "NodePort"}}
    typing_error = copy.deepcopy(service)
    typing_error["spec"]["typ"] = typing_error["spec"].pop("type")
    port = copy.deepcopy(service)
    port["spec"]["ports"] = [{"port": "https"}]
    scaled = render("scaling/keda")["ScaledObject", "iris-blue"]
    threshold = copy.deepcopy(scaled)
    threshold["spec"]["triggers"][0]["metadata"]["threshold"] = 70
    found = schema_problems([service, typing_error, port, scaled, threshold, {**service, "kind": "Servise"}])
    assert [each is None for each in found] == [True, False, False, True, False, False]


@pytest.mark.parametrize("folder", FOLDERS)
def test_everything_is_in_its_namespace(folder):
    """What an overlay adds or replaces is in none, unless the overlay names it again."""
    namespace = "models" if folder == "model" or folder.startswith("scaling/") else "azureml"
    for kubectl in KUBECTL:
        for name, each in render(folder, kubectl).items():
            assert each["metadata"].get("namespace") == namespace, name
            assert all(subject["namespace"] == namespace for subject in each.get("subjects", [])), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_pod_is_restricted(folder):
    """Pod Security Standards, level restricted, and no token of the API server where none is needed."""
    for owner, pod, _ in pods_of(render(folder)):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0 and security["runAsGroup"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)
        assert all(set(each) - {"name"} <= {"configMap", "secret", "emptyDir"} for each in pod["volumes"])
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is (owner["kind"] == "CronJob")
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                    "capabilities": {"drop": ["ALL"]}}
            assert container["resources"]["requests"] and "memory" in container["resources"]["limits"]
            assert all("hostPort" not in port for port in container.get("ports", []))


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_mounted_can_change_and_be_read(folder):
    for _, pod, _ in pods_of(render(folder)):
        volumes = {each["name"]: each for each in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
            for mount in container["volumeMounts"]:
                assert "subPath" not in mount, "a subPath never changes"
                assert mount.get("readOnly") or "emptyDir" in volumes[mount["name"]]
        for each in volumes.values():
            if "secret" in each:  # the group's, who is the container's
                assert each["secret"]["defaultMode"] == 0o440 and pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_refers_to_something_finds_it(folder):
    objects = render(folder)
    labels = [labels for _, _, labels in pods_of(objects)]
    for (kind, name), each in objects.items():
        if kind == "Deployment":
            assert each["spec"]["selector"]["matchLabels"].items() <= each["spec"]["template"]["metadata"]["labels"].items()
        selector = {"Service": lambda: each["spec"]["selector"], "NetworkPolicy": lambda: each["spec"]["podSelector"]["matchLabels"],
                    "PodDisruptionBudget": lambda: each["spec"]["selector"]["matchLabels"]}.get(kind)
        if selector:
            assert any(selector().items() <= some.items() for some in labels), (kind, name)
        if kind == "Service":
            ports = {port["name"] for _, pod, _ in pods_of(objects) for container in pod["containers"] for port in container.get("ports", [])}
            assert all(port["targetPort"] in ports for port in each["spec"]["ports"])
        if kind == "HorizontalPodAutoscaler" and not folder.startswith("scaling/"):
            target = each["spec"]["scaleTargetRef"]
            assert "replicas" not in objects[target["kind"], target["name"]]["spec"], "each apply would set the number back"
        if kind == "RoleBinding":
            assert ("Role", each["roleRef"]["name"]) in objects
            assert all((subject["kind"], subject["name"]) in objects for subject in each["subjects"])
    for _, pod, _ in pods_of(objects):
        assert ("ServiceAccount", pod.get("serviceAccountName")) in objects or "serviceAccountName" not in pod
        for volume in pod["volumes"]:
            assert "configMap" not in volume or ("ConfigMap", volume["configMap"]["name"]) in objects


def test_autoscalers_are_for_what_is_there():
    deployment = render("model")["Deployment", "iris-blue"]
    assert "replicas" not in deployment["spec"]
    (scaled,), (scaler,) = render("scaling/keda").values(), render("scaling/hpa").values()
    assert scaled["spec"]["scaleTargetRef"]["name"] == scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in (scaled, scaler, deployment)} == {"models"}
    # Azure's target, once in percent, once as the ratio; never averaged over the replicas a second time.
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metricType"] == "Value" and trigger["metadata"]["threshold"] == "70"
    assert trigger["metadata"]["query"].startswith("100 * ") and "scoregate_utilization_ratio" in trigger["metadata"]["query"]
    target = scaler["spec"]["metrics"][0]["external"]
    assert target["target"] == {"type": "Value", "value": "700m"} and target["metric"]["name"] == "scoregate_utilization_ratio"
    assert "fallback" not in scaled["spec"], "with Value only KEDA 2.18 has it"
    assert scaled["spec"]["minReplicaCount"] >= 1 and scaler["spec"]["minReplicas"] >= 1


def test_what_autoscalers_ask_for_is_there(tmp_path):
    (trigger,) = render("scaling/keda")["ScaledObject", "iris-blue"]["spec"]["triggers"]
    scaler = render("scaling/hpa")["HorizontalPodAutoscaler", "iris-blue"]["spec"]["metrics"][0]["external"]["metric"]
    (rule,) = yaml.safe_load((FOLDER / "scaling/hpa/prometheus-adapter.yaml").read_text())["externalRules"]
    labels = ", ".join(f'{name}="{value}"' for name, value in scaler["selector"]["matchLabels"].items())
    asked = {"keda": trigger["metadata"]["query"], "series": rule["seriesQuery"],
             "adapter": rule["metricsQuery"].replace("<<.LabelMatchers>>", labels)}
    documented = monitoring.documented()
    for expression in asked.values():
        for metric, used in monitoring.metrics_of(expression).items():
            assert metric == scaler["name"] and used == documented[metric]["labels"]
    rules = [{"record": f"query:{name}", "expr": expression} for name, expression in asked.items()]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    subprocess.run(["promtool", "check", "rules", tmp_path / "queries.yml"], check=True, capture_output=True)


def test_prometheus_finds_the_pods(tmp_path):
    whole = yaml.safe_load(monitoring.SCRAPING.with_name("kubernetes.yml").read_text())
    (told,), (alone,) = whole["scrape_configs"], yaml.safe_load(monitoring.SCRAPING.read_text())["scrape_configs"]
    # Debian's promtool knows no kubernetes_sd_configs, so it sees the rest.
    rest = {key: value for key, value in told.items() if key != "kubernetes_sd_configs"}
    (tmp_path / "rules.yml").symlink_to(monitoring.RULES)
    (tmp_path / "prometheus.yml").write_text(json.dumps(whole | {"scrape_configs": [rest | {"static_configs": []}]}))
    subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], check=True, capture_output=True)
    assert told["job_name"] == alone["job_name"]
    deployment = render("base")["Deployment", "scoregate"]
    assert told["kubernetes_sd_configs"][0]["namespaces"]["names"] == [deployment["metadata"]["namespace"]]
    kept = told["relabel_configs"][0]
    assert kept["regex"] == deployment["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] + ";admin"
    (policy,) = [each for (kind, _), each in render("base").items() if kind == "NetworkPolicy"]
    assert [rule["from"][0]["namespaceSelector"]["matchLabels"] for rule in policy["spec"]["ingress"] if {"port": 9001, "protocol": "TCP"} in rule["ports"]] == [
        {"kubernetes.io/metadata.name": "monitoring"}]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_scoregate_drains_before_it_is_ended(folder):
    objects = render(folder)
    container, pod = scoregate_of(objects)
    told = objects["ConfigMap", "scoregate"]["data"]["scoregate.json"]
    grace, drain = (int(re.search(rf'"{key}": (\d+)', told).group(1)) for key in ("drain_grace_ms", "drain_ms"))
    assert grace == 5000
    assert pod["terminationGracePeriodSeconds"] * 1000 >= grace + drain + 5000
    # Unready before connections are refused: within the grace, a readiness probe has failed as often as it takes.
    ready = container["readinessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] * 1000 < grace
    assert {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        "startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert {container[name]["httpGet"]["port"] for name in ("startupProbe", "livenessProbe", "readinessProbe")} == {"admin"}
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"https": 8443, "http": 8080, "admin": 9001}
    assert not {"args", "command"} & set(container)  # the image's


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_admin_port_is_in_no_service(folder):
    (service,) = [each for (kind, _), each in render(folder).items() if kind == "Service"]
    assert all(port["targetPort"] in ("https", "http") for port in service["spec"]["ports"])


@pytest.mark.parametrize("folder", OVERLAYS)
def test_scoregate_may_ask_for_names_and_reach_its_replicas(folder):
    objects = render(folder)
    policy = objects["NetworkPolicy", "scoregate"]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    names, replicas = policy["egress"]
    assert names == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    name, namespace, port = re.search(r'"dns://([\w-]+)\.([\w-]+)\.svc\.cluster\.local:(\d+)"', objects["ConfigMap", "scoregate-services"]["data"]["iris.json"]).groups()
    assert replicas == {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]}
    # And at the other end they are let in, to where that name leads.
    model = render("model")
    assert model["Service", name]["metadata"]["namespace"] == namespace
    (container,) = model["Deployment", name]["spec"]["template"]["spec"]["containers"]
    assert [each["containerPort"] for each in container["ports"]] == [int(port)]
    (let_in,) = model["NetworkPolicy", "iris"]["spec"]["ingress"]
    assert let_in["ports"] == [{"port": int(port), "protocol": "TCP"}]
    (who,) = let_in["from"]
    deployment = objects["Deployment", "scoregate"]
    assert who["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": deployment["metadata"]["namespace"]}
    assert who["podSelector"]["matchLabels"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def ports_of(folder):
    return {port["port"]: port["targetPort"] for port in render(folder)["Service", "scoregate"]["spec"]["ports"]}


def test_the_overlays_are_azures_choices():
    kind = {each.removeprefix("overlays/"): render(each)["Service", "scoregate"]["spec"]["type"] for each in OVERLAYS}
    assert kind == {"base": "LoadBalancer", "https": "LoadBalancer", "cert-manager": "LoadBalancer", "insecure": "ClusterIP",
                    "internal": "LoadBalancer", "node-port": "NodePort", "cluster-ip": "ClusterIP", "ha": "LoadBalancer",
                    "autoscaled": "LoadBalancer"}
    insecure = {"overlays/insecure", "overlays/cluster-ip"}
    for folder in OVERLAYS:
        assert ports_of(folder) == ({80: "http"} if folder in insecure else {443: "https", 80: "http"}), folder
        assert (variables_of(render(folder)).get("SCOREGATE_SET_allowInsecureConnections") == "true") == (folder in insecure)
    annotations = render("overlays/internal")["Service", "scoregate"]["metadata"]["annotations"]
    assert annotations == {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}
    node_ports = {port["port"]: port["nodePort"] for port in render("overlays/node-port")["Service", "scoregate"]["spec"]["ports"]}
    assert variables_of(render("overlays/node-port"))["SCOREGATE_SET_listen__public_https_port"] == str(node_ports[443])
    ingress = render("overlays/cluster-ip")["Ingress", "scoregate"]["spec"]["rules"][0]["http"]["paths"][0]
    assert (ingress["path"], ingress["pathType"]) == ("/", "Prefix")
    assert ingress["backend"]["service"] == {"name": "scoregate", "port": {"name": "http"}}


def test_cert_manager_writes_what_is_mounted():
    objects = render("overlays/cert-manager")
    certificate = objects["Certificate", "scoregate"]["spec"]
    _, pod = scoregate_of(objects)
    (secret,) = [each["secret"]["secretName"] for each in pod["volumes"] if each["name"] == "tls"]
    assert certificate["secretName"] == secret
    assert variables_of(objects)["SCOREGATE_SET_sslCname"] in certificate["dnsNames"]


@pytest.mark.parametrize("folder", ["overlays/ha", "overlays/autoscaled"])
def test_three_that_also_fit_on_one_node(folder):
    objects = render(folder)
    _, pod = scoregate_of(objects)
    apart = pod["affinity"]["podAntiAffinity"]
    assert set(apart) == {"preferredDuringSchedulingIgnoredDuringExecution"}, "required: the third never starts on two nodes"
    number = (objects.get(("HorizontalPodAutoscaler", "scoregate")) or {"spec": {"minReplicas": objects["Deployment", "scoregate"]["spec"].get("replicas")}})
    assert number["spec"]["minReplicas"] == 3
    assert objects["PodDisruptionBudget", "scoregate"]["spec"]["maxUnavailable"] == 1
    assert all("nodeSelector" not in spec and "topologySpreadConstraints" not in spec for _, spec, _ in pods_of(objects))


def test_the_rotation_may_touch_one_secret():
    (rule,) = render("overlays/ha")["Role", "scoregate-ticket-keys"]["rules"]
    assert rule == {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["scoregate-ticket-keys"], "verbs": ["get", "update"]}


def test_no_secret_is_in_the_source():
    assert all(kind != "Secret" for folder in FOLDERS for kind, _ in render(folder))
    assert not [each for each in FOLDER.rglob("*") if each.suffix in (".pem", ".key", ".crt")]
