"""Files that are written whole or not at all, and what may stand on a disk.

`files.py` writes under another name, syncs and renames; `seal.py` puts digests into records, so
that a damaged file is never taken for a whole one; `lock.py` gives a folder one owner; `paths.py`
says which names may be files; `errors.py` what a full or unwritable disk means. Knows nothing of
what the files hold.
"""
