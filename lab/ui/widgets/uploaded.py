"""Files of Streamlit's uploader, which stay in the server's memory until they are released."""

from __future__ import annotations

from collections.abc import Iterable

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from lab.process import trim_memory


def release_files(ids: Iterable[str]) -> None:
    """Frees uploaded files of this session that it does not show any more; other ids do no harm.

    Streamlit keeps every file until its session ends, also when its uploader is gone or was
    emptied, and what it keeps counts towards a visitor's limit (`lab.ui.shared.refuse_upload`).
    """
    context = get_script_run_ctx(suppress_warning=True)
    if context is None or not isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        return
    for file_id in ids:
        context.uploaded_file_mgr.remove_file(context.session_id, file_id)
    trim_memory()  # else what is freed stays with the process, full of holes
