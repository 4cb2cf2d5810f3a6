"""The public names of the package, for type checkers and editors; `__init__.py` imports them on first use."""

from ita_pipeline.api import data as data
from ita_pipeline.api import exchange as _exchange
from ita_pipeline.api.extract import extract as extract
from ita_pipeline.api.predict import evaluate as evaluate
from ita_pipeline.api.predict import explain as explain
from ita_pipeline.api.predict import load as load
from ita_pipeline.api.predict import predict as predict
from ita_pipeline.api.predict import predict_page as predict_page
from ita_pipeline.api.predict import predict_parts as predict_parts
from ita_pipeline.api.report import compare as compare
from ita_pipeline.api.report import compare_page as compare_page
from ita_pipeline.api.report import report as report
from ita_pipeline.api.runs import find_run as find_run
from ita_pipeline.api.runs import list_runs as list_runs
from ita_pipeline.api.runs import name_run as name_run
from ita_pipeline.api.runs import remove_run as remove_run
from ita_pipeline.api.runs import unname_run as unname_run
from ita_pipeline.api.status import status as status
from ita_pipeline.api.status import why as why
from ita_pipeline.api.train import train as train
from ita_pipeline.api.train import train_series as train_series
from ita_pipeline.core import errors as errors
from ita_pipeline.corpus import importing as importing
from ita_pipeline.corpus.posts import Post as Post
from ita_pipeline.engines.ray.cluster import RayPool as RayPool
from ita_pipeline.extraction.options import Options as Options
from ita_pipeline.reports.writer import ReportOptions as ReportOptions
from ita_pipeline.runs import export as _export
from ita_pipeline.runs.compare import Variations as Variations
from ita_pipeline.runs.plan import TrainOptions as TrainOptions
from ita_pipeline.server.serve import demo as demo

exporting = _exchange
model_export = _export

__all__: list[str]
