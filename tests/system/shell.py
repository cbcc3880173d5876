"""Somebody at a terminal: types into `throughline sql`, and reads what the screen says.

Arguments: the program, the root of an archive, the data folder. Run by tests/system/shell.rs. Whatever is not as expected ends
it with an error that shows the screen.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

PROGRAM, ARCHIVE, DATA = sys.argv[1:]
PROMPT = "throughline> "
ENDLESS = "select count(*) from generate_series(1, 1000000000000) a;"
CTRL_C, CTRL_D, UP, TAB = "\x03", "\x04", "\x1b[A", "\t"
# Bounds a hang, not how long things take.
PATIENCE_S = 60


class Terminal:
    """`throughline sql` on a terminal of 24 lines and 100 columns."""

    def __init__(self, *arguments, **environment):
        self.child, self.screen = pty.fork()
        if self.child == 0:
            kept = {name: value for name, value in os.environ.items() if not name.startswith("THROUGHLINE_")}
            kept.pop("NO_COLOR", None)
            kept.update({"TERM": "xterm-256color", "THROUGHLINE_DATA": DATA, "PAGER": "sed 's/^/paged: /'"})
            kept.update(environment)
            os.execve(PROGRAM, [PROGRAM, "sql", "--archive", ARCHIVE, *arguments], kept)
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.raw = ""

    def read(self, seconds):
        """Whether anything came within so long."""
        if not select.select([self.screen], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.screen, 65536)
        except OSError:
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)

    def text(self):
        """What came since the last question, without colours and cursor movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.raw)

    def expect(self, pattern, what=None):
        until = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.text(), re.S):
            if time.monotonic() > until:
                sys.exit(f"{what or pattern}: not on the screen, where is\n{self.text()}")
            self.read(0.2)
        return self.text()

    def settle(self):
        """Reads until nothing more comes."""
        while self.read(0.15):
            pass

    def type(self, keys):
        self.settle()
        self.raw = ""
        os.write(self.screen, keys.encode())

    def ask(self, line, pattern):
        """Types a line and reads until the pattern is there and the prompt is back."""
        self.type(line + "\r")
        self.expect(pattern, line)
        self.expect(re.escape(PROMPT) + r"$", f"the prompt after {line}")
        return self.text()

    def leave(self, keys):
        self.type(keys)
        until = time.monotonic() + PATIENCE_S
        while True:
            ended, status = os.waitpid(self.child, os.WNOHANG)
            if ended:
                os.close(self.screen)
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > until:
                os.kill(self.child, signal.SIGKILL)
                sys.exit(f"{keys!r} does not leave:\n{self.text()}")
            self.read(0.1)


def check(what, is_so, screen):
    if not is_so:
        sys.exit(f"{what}: not so on\n{screen}")


def catalogue(shell):
    listed = shell.ask("\\d", r"waterfall")
    check("\\d lists tables and views", "session_history" in listed and "handoffs" in listed, listed)
    listed = shell.ask("\\dt", r"dead_letters")
    check("\\dt lists tables alone", "handoffs" not in listed, listed)
    listed = shell.ask("\\dv", r"handoffs")
    check("\\dv lists views alone", "dead_letters" not in listed, listed)
    shell.ask("\\d handoffs", r"waited_s")
    shell.ask("\\d handof", r"no table or view handof; did you mean handoffs\?")
    shell.ask("\\nonsense", r"no command \\nonsense")
    shell.ask("\\?", r"\\timing")


def typing(shell):
    shell.ask("select 1 + 1 as two,\r  'a;b' as text\r;", r"two +text.*2 +a;b.*\(1 row in ")
    # a Tab completes tables, columns of the tables that are named, and functions
    shell.ask(f"select event_id from even{TAB} limit 1;", r"event_id.*\(1 row")
    shell.ask(f"select workfl{TAB}_id from events_once limit 1;", r"workflow_id.*\(1 row")
    shell.ask(f"describe handof{TAB};", r"waited_s")
    # Ctrl-C clears the line, and the shell stays
    shell.type("select nonsense" + CTRL_C)
    shell.expect(re.escape(PROMPT) + "$")
    shell.ask("select 'here' as still;", r"still.*here")
    # an arrow brings the last one back
    shell.type(UP)
    shell.expect(r"select 'here' as still;")
    shell.ask("", r"still.*here")


def looks(shell):
    screen = shell.ask("select 1 as one;", r"\(1 row in \d+ ms\)")
    check("colours on a terminal", "\x1b[1m" in shell.raw, repr(shell.raw))
    shell.ask("\\timing", r"time is not told")
    screen = shell.ask("select 1 as one;", r"\(1 row\)")
    shell.ask("\\timing", r"time is told")
    shell.ask("\\x", r"rows are lists")
    screen = shell.ask("select 1 as one, 'b' as two;", r"row 1\n")
    check("\\x makes lists", re.search(r"one +1\ntwo +b\n", screen), screen)
    shell.ask("\\x", r"rows are lines")
    shell.ask("\\f csv", re.escape(PROMPT) + "$")
    shell.ask("select 1 as one, 'b,c' as two;", r'one,two\n1,"b,c"\n')
    shell.ask("\\f ndjson", re.escape(PROMPT) + "$")
    shell.ask("select 1 as one, 'b' as two;", r'\{"one":1,"two":"b"\}\n')
    shell.ask("\\f json", re.escape(PROMPT) + "$")
    shell.ask("select 1 as one;", r'\[\{"one":1\}\]\n')
    shell.ask("\\f parquet", r"a terminal cannot show this format")
    shell.ask("\\f table", re.escape(PROMPT) + "$")
    for ending, begins in [
        ("parquet", b"PAR1"),
        ("arrow", b"\xff\xff\xff\xff"),
        ("csv", b"one\n1\n"),
        ("json", b'[{"one":1}]'),
        ("ndjson", b'{"one":1}\n'),
        ("txt", b"one"),
    ]:
        file = os.path.join(DATA, f"answer.{ending}")
        shell.ask(f"\\o {file}", re.escape(PROMPT) + "$")
        screen = shell.ask("select 1 as one;", r"\(1 row")
        with open(file, "rb") as answer:
            got = answer.read()
        check(f"\\o writes {ending}", got.lstrip().startswith(begins), got)
        check("a file has no colours", b"\x1b" not in got or ending in ("parquet", "arrow"), got)
    screen = shell.ask("select 1 as one;", r"─\n +1\n")


def pager(shell):
    screen = shell.ask("select value from generate_series(1, 5);", r"\(5 rows")
    check("a short answer goes to the terminal", "paged:" not in screen, screen)
    screen = shell.ask("select value from generate_series(1, 100);", r"\(100 rows")
    check("a long answer goes through the pager", screen.count("paged:") >= 100, screen)
    shell.ask("\\pager", r"answers go to the terminal")
    screen = shell.ask("select value from generate_series(1, 100);", r"\(100 rows")
    check("no pager when it is off", "paged:" not in screen, screen)
    shell.ask("\\pager", r"long answers go through a pager")


def errors(shell):
    screen = shell.ask("select workflow_id,\r  actr_id\rfrom events;", r"did you mean actor_id\?")
    check("a mark at the place", re.search(r"\n    actr_id\n    \^\n", screen), screen)
    screen = shell.ask("select * from evnts;", r"no table or view evnts; did you mean events\?")
    check("a mark at the table", re.search(r"\n  select \* from evnts\n +\^\n", screen), screen)
    shell.ask("select cuont(*) from events;", r"did you mean count\?")
    shell.ask("selct 1;", r"this is no SQL")
    shell.ask("drop table events;", r"drop table is refused: SQL here only reads")


def stopping(shell):
    shell.type(ENDLESS + "\r")
    time.sleep(0.5)
    os.write(shell.screen, CTRL_C.encode())
    began = time.monotonic()
    shell.expect(r"stopped\n")
    shell.expect(re.escape(PROMPT) + "$")
    check("Ctrl-C stops at once", time.monotonic() - began < 5, shell.text())
    shell.ask("select 'goes on' as it;", r"goes on")
    # what follows a statement that was stopped does not run
    shell.type(ENDLESS + " select 'never' as seen;\r")
    time.sleep(0.5)
    os.write(shell.screen, CTRL_C.encode())
    shell.expect(r"stopped\n")
    shell.expect(re.escape(PROMPT) + "$")
    shell.settle()
    check("the rest is left", "seen\n" not in shell.text(), shell.text())


shell = Terminal()
shell.expect(re.escape(PROMPT) + "$")
check("it says where it is", ARCHIVE in shell.text(), shell.text())
for part in (catalogue, typing, looks, pager, errors, stopping):
    part(shell)
check("Ctrl-D leaves well", shell.leave(CTRL_D) == 0, shell.text())

# a pager that is left early ends the query and not the shell; history is still there
shell = Terminal(PAGER="head -n 3")
shell.expect(re.escape(PROMPT) + "$")
shell.type(UP)
shell.expect(r"select 'never' as seen;")
shell.type(CTRL_C)
shell.ask("select a.event_id from events a cross join events b cross join events c;", r"event_id.*\n")
check("\\q leaves well", shell.leave("\\q\r") == 0, shell.text())

# no colours where nobody wants them
shell = Terminal(NO_COLOR="1")
shell.expect(re.escape(PROMPT) + "$")
shell.ask("select 1 as one;", r"\(1 row")
check("no colours", "\x1b[1m" not in shell.raw and "\x1b[2m" not in shell.raw, repr(shell.raw))
check("quit leaves well", shell.leave("quit\r") == 0, shell.text())
print("all is well")
