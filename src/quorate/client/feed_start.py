"""Decides where a feed begins: in which producer session, and after which of the file's lines.

A feed has a name: the file's path, or the name of a session that the user gave. The checkpoint of that name says which
session it is and what was sent. Whatever is not certain is refused in words, because a wrong guess counts votes twice
or not at all:

- The lines that were counted must still be the same. Otherwise the file is refused, unless just this content was fed
  before: then its own session goes on.
- Without a checkpoint, the content names the session. If the same content was fed before, by whatever name, it goes on
  there (0.1.0 knew only this way). If not, and the cluster knows the feed's name, then the checkpoint was lost, and the
  file is refused: lines of it may be counted.

How does the cluster know a name? It opens a second session for it, which never counts anything. Its epoch grows with
each opening. The first opening comes before the checkpoint is written, the second before anything is counted. So if the
epoch is above two where there is no checkpoint, votes may have been counted under this name.
"""

from __future__ import annotations

import hashlib

import msgspec

from quorate.client.checkpoint import Checkpoint, FeedMark, Saved
from quorate.client.http import JsonClient, Producer
from quorate.client.votes_file import Reader, Scan, VotesFile
from quorate.errors import Conflict, Deleted, ExpiredId, Invalid, Rejected
from quorate.words import count

BATCH_VOTES = 1_000  # fixed, because the batches of a file must be the same each time it is fed
COMPARED_BATCHES = 5  # the cluster remembers as many of a session


class Started(msgspec.Struct):
    producer: Producer
    saved: Saved
    mark: FeedMark
    reader: Reader  # it has read as far as the mark


class Wanted(msgspec.Struct):
    """What the user asked for. `session`: to feed under this name. `new`: to begin anew, whatever was fed under the
    name. `named`: the cluster is to know the checkpoint's name, so that its loss is noticed. `piped`: it is text
    without any name."""

    session: str | None = None
    new: bool = False
    named: bool = False
    piped: bool = False


class Start:
    def __init__(
        self, client: JsonClient, file: VotesFile, found: Scan, checkpoint: Checkpoint, wanted: Wanted
    ) -> None:
        self._client, self._file, self._found, self._checkpoint = client, file, found, checkpoint
        self._wanted = wanted

    def find(self) -> Started:
        """Raises `Conflict`, in words, if it is not certain where to go on."""
        saved = None if self._wanted.new else self._checkpoint.load()
        if saved is not None and saved.options != self._found.options:
            self._check_other_options(saved)
            saved = None
        if saved is None and not self._wanted.new:
            saved = self._check_unfinished()
        started = None if saved is None else self._go_on(saved)
        started = started or self._by_content()
        if self._found.with_ids:  # all votes are sent again: their ids tell which of them were counted
            started.mark, started.reader = FeedMark(), Reader(self._file)
        started.saved.whole = False
        self._checkpoint.save(started.saved)
        if not started.saved.claimed:
            self._open_name()
            started.saved.claimed = True
            self._checkpoint.save(started.saved)
        return started

    def _check_other_options(self, saved: Saved) -> None:
        if saved.whole and self._wanted.session is None:
            return  # all of it is counted. With other options it is another feed
        raise Conflict(
            f"{saved.name} was fed up to line {saved.marks[-1].line:,} with other options ({saved.options}; now "
            f"{self._found.options}). Feed it with the same options to go on. To count all its lines in another way "
            "too, use --new"
        )

    # ---- with a checkpoint ------------------------------------------------------------------------------------------

    def _go_on(self, saved: Saved) -> Started | None:
        """None: something changed before the mark, but just this content was fed in a session of its own before."""
        producer = self._open(saved.session)
        self._check_owner(saved, producer)
        mark = self._mark_of(saved, producer)
        reader = Reader(self._file)
        reader.read(mark.votes)
        if (reader.votes, reader.digest()) == (mark.votes, mark.digest):
            saved.marks = [mark]
            saved.passed = [each for each in saved.passed if each[0] <= mark.line]
            return Started(producer, saved, mark, reader)
        if self._wanted.session is None and self._open(self._found.producer).sequence:
            return None
        raise Conflict(
            f"{saved.name} was counted up to line {mark.line:,}, and something before that line has changed since: "
            "to go on would count votes twice or leave some out. Nothing was counted now. Either put the old lines "
            "back, or put the votes that are still to be counted into a file of their own. If all of it is another "
            f"file, which only has the same name: {self._other_name()} counts all its lines"
        )

    def _check_owner(self, saved: Saved, producer: Producer) -> None:
        """A session of the same name that belongs to another token is another one, and knows nothing of these lines."""
        if self._found.with_ids:
            return
        if saved.owner != producer.owner and saved.marks[-1].votes:
            before, now = (f"the token {owner}" if owner else "no token" for owner in (saved.owner, producer.owner))
            raise Conflict(
                f"{saved.name} was counted up to line {saved.marks[-1].line:,} with {before}, and now it comes with "
                f"{now}, whose sessions are others. Nothing was counted now. Feed it with {before} to go on. "
                f"{self._other_name()} counts all its lines, also those that were counted already"
            )
        saved.owner = producer.owner

    def _mark_of(self, saved: Saved, producer: Producer) -> FeedMark:
        if self._found.with_ids:
            return saved.marks[-1]
        mark = saved.mark_at(producer.sequence)
        if mark is None and not producer.sequence:
            raise self._forgotten(saved.session)
        if mark is None:
            raise Conflict(
                f"the cluster has counted {count(producer.sequence, 'batch')} of the session {saved.session}, and the "
                f"checkpoint of {saved.name} is at {saved.marks[-1].sequence}: they do not belong together (is one of "
                "them an old copy, or was the session used elsewhere?). Nothing was counted now. "
                f"{self._other_name()} counts all lines, also those that were counted already"
            )
        return mark

    def _other_name(self) -> str:
        return "--new" if self._wanted.session is None else "another --session"

    def _check_unfinished(self) -> Saved | None:
        """A file that stopped may come again, corrected, under another name. So the user must say if that is so.
        Returns the checkpoint of the session that the user named."""
        reader = Reader(self._file)
        for saved in sorted(self._checkpoint.unfinished(), key=lambda saved: saved.marks[0].votes):
            if saved.session == self._wanted.session:
                return msgspec.structs.replace(saved, name=self._checkpoint.name, claimed=True)
            mark = saved.marks[0]
            reader.read(mark.votes - reader.votes)
            is_same = saved.options == self._found.options and saved.session != self._found.producer
            if self._wanted.session is None and is_same and reader.digest() == mark.digest:
                raise Conflict(
                    f"{saved.name} stopped after {count(mark.votes, 'counted vote')}, and this begins with the same. "
                    f"If it is the same, corrected: --session {saved.session} goes on there. If it is another one: "
                    "--new counts all of it. Nothing was counted now"
                )
        return None

    # ---- by the content ---------------------------------------------------------------------------------------------

    def _by_content(self) -> Started:
        producer = self._open(self._wanted.session or self._found.producer)
        saved = Saved(self._checkpoint.name, producer.producer, self._found.options, not self._wanted.named)
        saved.owner = producer.owner
        reader, mark = Reader(self._file), FeedMark()
        is_known = self._wanted.named and self._open_name() > 2
        if producer.sequence:
            mark = self._counted_before(producer, reader)
        elif is_known and not self._wanted.new:
            raise self._name_in_use()
        saved.marks = [mark]
        return Started(producer, saved, mark, reader)

    def _counted_before(self, producer: Producer, reader: Reader) -> FeedMark:
        """Skip the batches that the session counted. Those that the cluster remembers are compared with the file's."""
        batches = producer.sequence
        for sequence in range(1, batches + 1):
            lines = reader.read(BATCH_VOTES)
            if not lines:
                raise Conflict(
                    f"the session {producer.producer} is at batch {batches}, which is more than this file has"
                )
            if sequence > batches - COMPARED_BATCHES:
                producer.sequence = sequence - 1
                try:
                    self._client.cast_session(producer, [line.vote for line in lines])
                except (Conflict, ExpiredId, Invalid, Rejected) as error:
                    raise self._lost(producer.producer, error.detail) from None
        return FeedMark(batches, reader.votes, reader.line, reader.digest())

    def _lost(self, session: str, why: str) -> Conflict:
        return Conflict(
            f"the session {session} has counted votes, there is no checkpoint of it here, and its last batches are "
            f"not those of this file ({why}). Nothing was counted now. Feed it where its checkpoint is, or, if this is "
            "another file, feed it under another --session"
        )

    # ---- names ------------------------------------------------------------------------------------------------------

    def _name_in_use(self) -> Conflict:
        return Conflict(
            f"{self._checkpoint.name} was fed before, with another content, and its checkpoint is not here: it was "
            "lost, or stands on another machine. Lines of it may be counted already, so nothing was counted now. Feed "
            "it where its checkpoint is. If it is another file, which only has the same name: --new counts all its "
            "lines"
        )

    def _open_name(self) -> int:
        digest = hashlib.blake2b(self._checkpoint.name.encode(), digest_size=16).hexdigest()
        try:
            return self._client.open_producer(f"feed-name-{digest}", new=self._wanted.new).epoch
        except Deleted:
            raise self._forgotten(f"feed-name-{digest}") from None

    def _open(self, session: str) -> Producer:
        """Votes with ids need no session: only its name, of which ids are made."""
        if self._found.with_ids:
            return Producer(session, 0, 0)
        try:
            return self._client.open_producer(session, new=self._wanted.new)
        except Deleted:
            raise self._forgotten(session) from None

    def _forgotten(self, session: str) -> Conflict:
        return Conflict(
            f"the cluster has forgotten the session {session} and what it counted (`quorate producers forget`), so "
            "votes of this file may be counted already. Nothing was counted now. To count all its lines, use --new"
        )
