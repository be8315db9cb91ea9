"""Training goes on where it stopped, and shares its work among processes."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from build_engine.judge.figures import draw_curves  # noqa: E402
from build_engine.train.fit import Schedule, Task, fit, load_curve  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))


def batch_of(rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    inputs = torch.from_numpy(rng.standard_normal((32, 4), dtype=np.float32))
    return inputs, inputs.sum(dim=1, keepdim=True)


def loss_of(outputs: torch.Tensor, truth: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return (outputs.float() - truth[0]).square().mean()


def task(path: Path, steps: int = 400, processes: int = 1) -> Task:
    schedule = Schedule("sum", 7, steps, 1e-2, processes)
    return Task(network(), schedule, batch_of, loss_of, path)


def weights(one: Task) -> np.ndarray:
    return torch.cat([part.flatten() for part in one.network.parameters()]).detach().numpy()


def load_weights(path: Path, into: torch.nn.Module) -> None:
    """Bring back the averaged weights of a checkpoint."""
    into.load_state_dict(torch.load(path, weights_only=True)["weights"])


class Stopped(Exception):
    """Ends a run in its middle."""


def test_the_loss_falls_and_its_curve_is_kept_and_drawn(tmp_path: Path):
    seen = []

    fit(task(tmp_path / "sum.pt"), lambda *progress: seen.append(progress))

    curve = load_curve(tmp_path / "sum.pt")
    assert curve[-1][1] < curve[0][1] / 20
    assert [(name, step, total) for name, step, total, _ in seen][-1] == ("sum", 400, 400)
    draw_curves({"sum": curve}, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path):
    def stop(_name: str, step: int, _total: int, _loss: float) -> None:
        if step >= 700:
            raise Stopped

    whole, stopped = (task(tmp_path / name, 1000) for name in ("whole.pt", "stopped.pt"))
    fit(whole, lambda *_: None)
    with pytest.raises(Stopped):
        fit(stopped, stop)

    gone_on = task(tmp_path / "stopped.pt", 1000)
    fit(gone_on, lambda *_: None)

    assert np.allclose(weights(gone_on), weights(whole), atol=1e-6)
    restored = network()
    load_weights(tmp_path / "stopped.pt", restored)
    assert torch.equal(restored[0].weight, gone_on.network[0].weight)


def test_no_steps_leave_a_network_as_it_was_and_keep_it(tmp_path: Path):
    fit(task(tmp_path / "none.pt", steps=0), lambda *_: None)

    restored = network()
    with torch.no_grad():
        restored[0].weight.zero_()
    load_weights(tmp_path / "none.pt", restored)
    assert torch.equal(restored[0].weight, network()[0].weight)
    draw_curves({"none": load_curve(tmp_path / "none.pt")}, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").exists()


def test_a_run_that_is_complete_leaves_its_file_alone(tmp_path: Path):
    """Blocks that are newer than the slice network's weights are kept."""
    path = tmp_path / "sum.pt"
    fit(task(path, steps=20), lambda *_: None)
    written_at = path.stat().st_mtime_ns

    fit(task(path, steps=20), lambda *_: None)

    assert path.stat().st_mtime_ns == written_at


def test_several_processes_train_one_network(tmp_path: Path, fitted_by_several: Path):
    alone, shared = task(tmp_path / "1.pt"), task(fitted_by_several / "2.pt")

    fit(alone, lambda *_: None)

    load_weights(fitted_by_several / "2.pt", shared.network)
    assert load_curve(fitted_by_several / "2.pt")[-1][1] < 0.05
    assert not np.allclose(weights(alone), weights(shared))  # each process had batches of its own


class TwoHeads(torch.nn.Module):
    """One head, and another that only some batches ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.seldom = torch.nn.Linear(4, 1), torch.nn.Linear(4, 3)

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.always(values), self.seldom(values)


def seldom_loss(
    outputs: tuple[torch.Tensor, torch.Tensor], truth: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    loss = loss_of(outputs[0], truth)
    return loss + outputs[1].square().mean() if truth[0][0] > 0 else loss


def test_a_head_that_one_process_did_not_use_in_a_step_is_shared_all_the_same(
    fitted_by_several: Path,
):
    curve = load_curve(fitted_by_several / "two.pt")

    assert curve[-1][1] < curve[0][1]


@pytest.fixture(scope="module")
def fitted_by_several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fit where there are no other threads: with several processes, it forks."""
    folder = tmp_path_factory.mktemp("several")
    process = get_context("spawn").Process(target=fit_by_several, args=(folder,))
    process.start()
    process.join(100)
    assert process.exitcode == 0
    return folder


def fit_by_several(folder: Path) -> None:
    two_heads = Schedule("two", 7, 60, 1e-2, 3)
    fit(task(folder / "2.pt", processes=2), lambda *_: None)
    fit(Task(TwoHeads(), two_heads, batch_of, seldom_loss, folder / "two.pt"), lambda *_: None)


def test_the_rate_climbs_and_then_falls_to_nothing():
    schedule = Schedule("sum", 7, 1000, 1e-2, 1)
    rates = [schedule.rate(step) for step in range(1000)]

    assert rates[0] < 1e-3
    assert max(rates) == pytest.approx(1e-2)
    assert np.argmax(rates) < 60
    assert rates[-1] < 1e-6


def test_what_is_kept_is_the_average_of_the_last_weights(tmp_path: Path):
    """A step's own weights jump with its batch."""
    one = task(tmp_path / "sum.pt")

    fit(one, lambda *_: None)

    kept = torch.load(tmp_path / "sum.pt", weights_only=True)
    assert torch.equal(kept["weights"]["0.weight"], one.network[0].weight)
    assert not torch.equal(kept["latest"]["0.weight"], kept["weights"]["0.weight"])
