import pytest

from mlctl.estimate.devices import recognized
from mlctl.estimate.nodes import constrained, own_cluster, selected, size, tier_of


@pytest.mark.parametrize(
    ("label", "product", "name"),
    [
        ("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-80GB", "A100-80GB"),
        ("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3", "H100"),
        ("nvidia.com/gpu.product", "NVIDIA-H100-NVL", "H100-NVL"),
        ("nvidia.com/gpu.product", "Tesla-T4", "T4"),
        ("cloud.google.com/gke-accelerator", "nvidia-tesla-t4", "T4"),
        ("cloud.google.com/gke-accelerator", "nvidia-l4", "L4"),
        ("cloud.google.com/gke-accelerator", "nvidia-h100-mega-80gb", "H100"),
        ("k8s.amazonaws.com/accelerator", "nvidia-a10g", "A10G"),
    ],
)
def test_labels_of_nodes_name_their_gpus(label: str, product: str, name: str) -> None:
    found = selected({"pool": "gpu", label: product})
    assert found is not None
    assert found.name == name


def test_what_no_label_names_is_not_known() -> None:
    assert selected({"pool": "gpu"}) is None
    assert selected({"nvidia.com/gpu.product": "Voodoo-2"}) is None


@pytest.mark.parametrize(
    "product", ["NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "NVIDIA-H100-80GB-HBM3-SHARED", "Tesla-T4-SHARED"]
)
def test_a_part_or_a_share_of_a_gpu_is_not_taken_for_all_of_it(product: str) -> None:
    assert selected({"nvidia.com/gpu.product": product}) is None


@pytest.mark.parametrize(
    "label",
    ["cloud.google.com/gke-gpu-partition-size", "cloud.google.com/gke-gpu-sharing-strategy", "nvidia.com/mig.config"],
)
def test_nodes_that_give_out_parts_of_gpus_do_not_say_how_large_these_are(label: str) -> None:
    gpu = {"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"}
    assert selected({**gpu, label: "1g.5gb"}) is None
    assert selected({**gpu, "nvidia.com/mig.config": "all-disabled"}) == selected(gpu) is not None


@pytest.mark.parametrize(
    ("selector", "tier"),
    [
        ({}, "owned"),
        ({"karpenter.sh/capacity-type": "spot"}, "spot"),
        ({"karpenter.sh/capacity-type": "on-demand"}, "on_demand"),
        ({"eks.amazonaws.com/capacityType": "SPOT"}, "spot"),
        ({"cloud.google.com/gke-spot": "true"}, "spot"),
        ({"kubernetes.azure.com/scalesetpriority": "spot"}, "spot"),
        ({"cloud.google.com/gke-spot": "false"}, "owned"),
    ],
)
def test_labels_of_nodes_say_how_they_are_paid_for(selector: dict[str, str], tier: str) -> None:
    assert tier_of(selector) == tier


@pytest.mark.parametrize(
    ("text", "size_in_bytes"),
    [("16Gi", 2**34), ("16G", 16e9), ("500Mi", 500 * 2**20), ("1024", 1024.0), ("much", None), (None, None)],
)
def test_amounts_of_memory_are_read_as_kubernetes_writes_them(text: str | None, size_in_bytes: float | None) -> None:
    assert size(text) == size_in_bytes


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"), ("NVIDIA H100 PCIe", "H100-PCIE"), ("NVIDIA H100 NVL", "H100-NVL"),
        ("NVIDIA A100-SXM4-40GB", "A100"), ("NVIDIA A100 80GB PCIe", "A100-PCIE-80GB"), ("NVIDIA RTX A6000", "A6000"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"), ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None), ("NVIDIA GeForce RTX 4090 D", None), ("NVIDIA L40S", "L40S"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", None), ("NVIDIA GH200 480GB", "GH200"), ("NVIDIA RTX 6000 Ada Generation", "RTX6000-ADA"),
        ("NVIDIA H200", "H200"), ("NVIDIA H200 NVL", "H200-NVL"), ("NVIDIA A100-PCIE-40GB", "A100-PCIE"), ("NVIDIA L40", "L40"), ("NVIDIA A40", "A40"),
        ("NVIDIA RTX A5000", "A5000"), ("NVIDIA GeForce RTX 5090", "RTX5090"), ("NVIDIA B300 SXM6 AC", "B300"), ("Quadro RTX 6000", None),
        ("NVIDIA RTX A5000 Laptop GPU", None), ("NVIDIA RTX A4000", None),
    ],
)  # fmt: skip
def test_drivers_names_are_recognized_by_their_words(name: str, known: str | None) -> None:
    found = recognized(name)
    assert (None if found is None else found.name) == known


@pytest.mark.parametrize(
    ("constraint", "name"),
    [("a100&ib", "A100"), ("h100|a100", "H100"), ("[rack1|rack2]&(L40S)", "L40S"), ("ib", None), (None, None)],
)
def test_a_constraint_on_nodes_may_name_their_gpus(constraint: str | None, name: str | None) -> None:
    found = constrained(constraint)
    assert (None if found is None else found.name) == name


@pytest.mark.parametrize(
    ("infra", "own"),
    [("k8s/us", True), ("kubernetes", True), ("ssh/pool", True), ("aws/us-east-1", False), (None, False)],
)
def test_clusters_of_ones_own_are_not_rented(infra: str | None, own: bool) -> None:
    assert own_cluster(infra) is own
