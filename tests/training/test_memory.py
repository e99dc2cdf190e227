import pytest

from charlm.training import memory
from charlm.training.memory import container_bytes


@pytest.mark.parametrize(
    ("folder", "limit", "used", "cache"),
    [
        (".", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_files_in_the_cache_of_a_container_are_not_used_memory(
    tmp_path, monkeypatch, folder, limit, used, cache
):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert container_bytes() == float("inf")
    folder = tmp_path / folder
    folder.mkdir(exist_ok=True)
    (folder / limit).write_text("2000\n")
    (folder / used).write_text("1900\n")
    (folder / "memory.stat").write_text(f"anon 250\n{cache} 1650\n")
    assert container_bytes() == 1750
    (folder / limit).write_text("max\n")
    assert container_bytes() == float("inf")
