"""What is put beside the reproducer of a verified finding: the picture of the converted model, an issue's draft."""

from __future__ import annotations

import msgspec

from corpus.errors import CorpusError, from_os_error
from corpus.objects import write_durably
from corpus.records import Finding
from corpus.store import Store
from fuzzer.pictures import Picture
from fuzzer.supervisor import Stopped, Worker, WorkerDefect, WorkerDied
from fuzzer.tasks import PictureResult, PictureTask, Subject
from fuzzer.upstream import draft
from fuzzer.upstream.known_issues import known_issues
from fuzzer.upstream.projects import projects

#: The picture of the converted model, in a finding's directory.
PICTURE = "converted.json"


def compile_dossier(store: Store, finding: Finding, worker: Worker) -> None:
    """Write the picture and the draft of a verified finding into its directory. CorpusError when they cannot be
    written; a campaign that is stopped leaves them to :func:`picture_of` and `convfuzz draft`."""
    try:
        draw(store, finding, worker)
    except Stopped:
        return
    try:
        draft.write(store, finding, known_issues(store))
    except OSError as error:
        raise from_os_error(error, str(store.directory / "findings" / finding.id)) from error


def redraft(store: Store, finding: Finding) -> None:
    """Write the draft of a finding anew, if one is kept, since more has become known. CorpusError when it cannot be
    written."""
    if any((store.directory / "findings" / finding.id / f"{key}.md").is_file() for key in projects()):
        try:
            draft.write(store, finding, known_issues(store))
        except OSError as error:
            raise from_os_error(error, str(store.directory / "findings" / finding.id)) from error


def draw(store: Store, finding: Finding, worker: Worker) -> Picture:
    """Convert the minimized case once more and keep the picture of what comes out. A subject that dies of it, as some
    findings make it, leaves a picture that says so. Raises Stopped and CorpusError."""
    issued = store.batch(finding.campaign, finding.batch).issued
    subject = Subject(issued.frontend, issued.converter, finding.converter_settings, ())
    case = store.objects.get(finding.minimized_object or finding.case_object)
    try:
        result = worker.call(PictureTask(subject, case))
        assert isinstance(result, PictureResult)
        picture = result.picture
    except WorkerDied as death:
        picture = Picture(problem=f"no model is made: {death}")
    except WorkerDefect as defect:
        picture = Picture(problem=f"the model cannot be read: {str(defect).splitlines()[0][:200]}")
    try:
        write_durably(store.directory / "findings" / finding.id / PICTURE, msgspec.json.encode(picture))
    except OSError as error:
        raise from_os_error(error, str(store.directory)) from error
    return picture


def picture_of(store: Store, finding: Finding) -> Picture | None:
    """The picture that is kept of the converted model; None when there is none. CorpusError for a damaged one."""
    path = store.directory / "findings" / finding.id / PICTURE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Picture)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise CorpusError(
            f"the picture {path} cannot be read: {error}", "delete it; `convfuzz report --convert` makes it anew"
        ) from error
