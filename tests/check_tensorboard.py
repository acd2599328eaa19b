"""TensorBoard itself reads the events of a sweep: scalars, the confusion picture, and what its hparams page shows.

usage: check_tensorboard.py SWEEP      (SWEEP/runs/* are the runs of --grid T=1,4 --grid lr=1e-3,2e-3)"""

import csv
import glob
import io
import json
import os
import sys

from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups


def check(name, right, why=""):
    print(f"ok {name}" if right else f"not ok {name}: {why}")


def scalars_are_those_of_the_summary(run):
    events = EventAccumulator(run, size_guidance={"images": 0})
    events.Reload()
    with open(f"{run}/summary.csv") as file:
        rows = list(csv.DictReader(file))
    wrong = []
    for tag, column, unit in (("loss/train", "train_loss", 1), ("loss/val", "eval_loss", 1), ("accuracy/val", "eval_top1", 100),
                              ("learning_rate", "lr", 1), ("terms/kd", "loss_kd", 1)):
        found = [(event.step, event.value * unit) for event in events.Scalars(tag)]
        wanted = [(int(row["epoch"]), float(row[column])) for row in rows]
        if len(found) != len(wanted) or any(a[0] != b[0] or abs(a[1] - b[1]) > 1e-5 * abs(b[1]) for a, b in zip(found, wanted)):
            wrong.append((tag, found, wanted))
    check("tensorboard_scalars", not wrong, wrong)
    return events


def confusion_is_a_picture(events, run):
    from PIL import Image

    (event,) = events.Images("confusion")
    picture = Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB")
    with open(f"{run}/metrics.json") as file:
        confusion = json.load(file)["validation"]["confusion"]
    cell = picture.width // len(confusion)
    wrong = []
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            shade = (count / sum(row)) ** 0.5
            red = picture.getpixel((j * cell + cell // 2, i * cell + cell // 2))[0]
            if abs(red - (255 + shade * (29 - 255))) > 6:
                wrong.append((i, j, count, red))
    check("tensorboard_confusion", not wrong and (event.width, event.height) == picture.size, wrong)


def hparams_are_those_of_the_grid(sweep):
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(f"{sweep}/runs")
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, sweep)
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = context.RequestContext()
    experiment = backend.experiment_from_metadata(
        request, "", True, backend.hparams_metadata(request, ""), backend.hparams_from_data_provider(request, "", limit=1000))
    infos = {info.name: info for info in experiment.hparam_infos}
    asked = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=100, include_metrics=True,
                                             allowed_statuses=[api_pb2.STATUS_SUCCESS])
    groups = list_session_groups.Handler(request, backend, "", asked).run().session_groups
    found = sorted((group.hparams["T"].number_value, group.hparams["lr"].number_value) for group in groups)
    check("tensorboard_hparams", found == [(1, 0.001), (1, 0.002), (4, 0.001), (4, 0.002)], found)
    check("tensorboard_hparams_types", infos["T"].type == api_pb2.DATA_TYPE_FLOAT64 and infos["loss"].type == api_pb2.DATA_TYPE_STRING
          and infos["student"].type == api_pb2.DATA_TYPE_STRING and "cache" not in infos and "out" not in infos, infos)
    metrics = {metric.name.tag for group in groups for metric in group.metric_values}
    check("tensorboard_hparams_metrics", "accuracy/val" in metrics, metrics)


def main(sweep):
    run = sorted(glob.glob(f"{sweep}/runs/*"))[0]
    events = scalars_are_those_of_the_summary(run)
    confusion_is_a_picture(events, run)
    hparams_are_those_of_the_grid(sweep)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
main(*sys.argv[1:])
