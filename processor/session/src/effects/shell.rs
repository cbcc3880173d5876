//! What a shell text does: every command of it, with quotes, redirections and here-documents told apart.
//!
//! No shell is modelled: variables, functions and globs are text. The strongest command counts.

use std::iter::Peekable;
use std::str::Chars;

use super::{Does, LOOKUP, arguments};

/// How deep `sh -c` is looked into.
const DEPTH_MAX: usize = 2;
/// Words in front of a command that are no command themselves.
const WRAPPERS: &[&str] = &[
    "!", "builtin", "command", "do", "doas", "elif", "else", "exec", "if", "nice", "nohup",
    "stdbuf", "sudo", "then", "time", "timeout", "until", "while", "xargs", "{", "}",
];
const SHELLS: &[&str] = &["bash", "sh", "zsh", "dash", "ksh", "ssh", "eval"];
const CLOUDS: &[&str] = &["aws", "az", "gcloud", "gsutil", "gh", "glab", "redis-cli"];
const DATABASES: &[&str] = &["mysql", "psql", "sqlite3", "clickhouse-client", "duckdb"];

/// The strongest of what the commands of the text do; unknown where there is none.
pub(super) fn does(text: &str) -> Does {
    at_depth(text, 0)
}

fn at_depth(text: &str, depth: usize) -> Does {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        here: Vec::new(),
    };
    let mut found: Option<Does> = None;
    while let Some(simple) = reader.next() {
        if simple.words.is_empty() && !simple.redirected {
            continue;
        }
        let mut does = command(&simple.words, depth);
        if simple.redirected {
            does = does.max(Does::Writes);
        }
        found = found.max(Some(does));
    }
    // An empty text, or one that is only a comment, does nothing.
    found.unwrap_or(if text.trim().is_empty() {
        Does::Unknown
    } else {
        Does::Nothing
    })
}

fn command(words: &[String], depth: usize) -> Does {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut words = words.as_slice();
    let mut wrapped = false;
    while let Some((first, rest)) = words.split_first() {
        let assigns = first.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        });
        let wraps = WRAPPERS.contains(first) || *first == "env" && !rest.is_empty();
        // Options of a wrapper, and the numbers that they take.
        let option = wrapped
            && (first.starts_with('-') || first.trim_end_matches('s').parse::<f64>().is_ok());
        if !(assigns || wraps || option) {
            break;
        }
        wrapped |= wraps;
        words = rest;
    }
    let Some((program, rest)) = words.split_first() else {
        return Does::Nothing;
    };
    let program = program.rsplit('/').next().unwrap_or(program);
    if let Some(at) = LOOKUP.programs.get(program) {
        return of_program(*at, rest);
    }
    let has = |flags: &[&str]| rest.iter().any(|word| flags.contains(word));
    match program {
        program if SHELLS.contains(&program) => {
            let script = rest.iter().skip_while(|word| !word.ends_with('c')).nth(1);
            match script {
                Some(script) if depth < DEPTH_MAX => at_depth(script, depth + 1),
                _ => Does::Unknown,
            }
        }
        program if CLOUDS.contains(&program) => rest
            .iter()
            .filter(|word| !word.starts_with('-'))
            .find_map(|word| super::by_verbs(&word.replace('-', "_")))
            .unwrap_or(Does::Unknown),
        program if DATABASES.contains(&program) => rest
            .iter()
            .filter(|word| word.contains(' '))
            .map(|word| arguments::statements(word))
            .max()
            .unwrap_or(Does::Unknown),
        "sed"
            if rest
                .iter()
                .any(|word| word.starts_with("-i") || *word == "--in-place") =>
        {
            Does::Writes
        }
        "find" if has(&["-delete"]) || has(&["-exec", "-execdir"]) && has(&["rm"]) => {
            Does::Destroys
        }
        "find" if has(&["-exec", "-execdir", "-ok"]) => Does::Unknown,
        "tar"
            if rest
                .first()
                .is_some_and(|flags| flags.trim_start_matches('-').starts_with('t')) =>
        {
            Does::Reads
        }
        "curl" => curl(rest),
        program => LOOKUP.shell.get(program).copied().unwrap_or(Does::Unknown),
    }
}

/// A command of a programme with commands of its own: the first word that its table knows.
pub(super) fn of_program(program: usize, words: &[&str]) -> Does {
    let Some(table) = LOOKUP.of_programs.get(program) else {
        return Does::Unknown;
    };
    let mut known = words
        .iter()
        .filter(|word| !LOOKUP.programs.contains_key(**word))
        .enumerate()
        .filter_map(|(at, word)| table.get(*word).map(|does| (at, *word, *does)));
    let Some((_, verb, does)) = known.next() else {
        return if words
            .iter()
            .any(|word| matches!(*word, "--version" | "--help" | "-V"))
        {
            Does::Reads
        } else {
            Does::Unknown
        };
    };
    let has = |flags: &[&str]| words.iter().any(|word| flags.contains(word));
    match verb {
        "rollout" | "remote" | "stash" | "state" => known.next().map_or(does, |(_, _, does)| does),
        "push"
            if has(&[
                "-f",
                "--force",
                "--force-with-lease",
                "--delete",
                "--mirror",
            ]) =>
        {
            Does::Destroys
        }
        "branch" | "tag" if has(&["-d", "-D", "--delete"]) => Does::Destroys,
        _ => does,
    }
}

fn curl(words: &[&str]) -> Does {
    let mut does = Does::Reads;
    for (at, word) in words.iter().enumerate() {
        let method = match *word {
            "-X" | "--request" => words.get(at + 1).copied(),
            word => word
                .strip_prefix("-X")
                .or_else(|| word.strip_prefix("--request=")),
        };
        if let Some(method) = method {
            let method = method.to_ascii_lowercase();
            return LOOKUP.http.get(&*method).copied().unwrap_or(Does::Unknown);
        }
        let sends = matches!(
            *word,
            "-d" | "-F" | "-T" | "--json" | "--upload-file" | "--form"
        );
        if sends || word.starts_with("--data") || matches!(*word, "-o" | "-O" | "--output") {
            does = Does::Writes;
        }
    }
    does
}

/// One simple command.
struct Simple {
    words: Vec<String>,
    /// Its output goes to a file.
    redirected: bool,
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    /// Ends of the here-documents that begin at the next line.
    here: Vec<String>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Simple> {
        self.rest.peek()?;
        let mut simple = Simple {
            words: Vec::new(),
            redirected: false,
        };
        loop {
            self.skip_blanks();
            let Some(character) = self.rest.peek().copied() else {
                return Some(simple);
            };
            match character {
                '\n' => {
                    self.rest.next();
                    self.skip_here_documents();
                    return Some(simple);
                }
                ';' | '|' | '&' | '(' | ')' | '`' => {
                    self.rest.next();
                    if character == '&' && self.rest.peek() == Some(&'>') {
                        continue;
                    }
                    return Some(simple);
                }
                '#' => while self.rest.next_if(|c| *c != '\n').is_some() {},
                '>' => {
                    self.rest.next();
                    let _ = self.rest.next_if(|c| matches!(c, '>' | '|'));
                    let duplicates = self.rest.next_if_eq(&'&').is_some();
                    self.skip_blanks();
                    let target = self.word();
                    let errors = simple.words.last().is_some_and(|word| word == "2");
                    let nowhere = matches!(
                        &*target,
                        "/dev/null" | "/dev/stdout" | "/dev/stderr" | "/dev/tty"
                    );
                    if !(duplicates || errors || nowhere) {
                        simple.redirected = true;
                    }
                }
                '<' => self.input(),
                _ => {
                    let word = self.word();
                    simple.words.push(word);
                }
            }
        }
    }

    /// `< file`, `<<< text`, `<< END`.
    fn input(&mut self) {
        self.rest.next();
        if self.rest.next_if_eq(&'<').is_none() {
            self.skip_blanks();
            if self.rest.peek() != Some(&'(') {
                self.word();
            }
            return;
        }
        let here_string = self.rest.next_if_eq(&'<').is_some();
        let _ = self.rest.next_if_eq(&'-');
        self.skip_blanks();
        let word = self.word();
        if !here_string && !word.is_empty() {
            self.here.push(word);
        }
    }

    fn skip_blanks(&mut self) {
        while let Some(character) = self.rest.peek() {
            match character {
                ' ' | '\t' | '\r' => {
                    self.rest.next();
                }
                '\\' => {
                    // A line that goes on, or a character that is only itself.
                    let mut ahead = self.rest.clone();
                    ahead.next();
                    if ahead.next() != Some('\n') {
                        return;
                    }
                    self.rest.next();
                    self.rest.next();
                }
                _ => return,
            }
        }
    }

    fn skip_here_documents(&mut self) {
        for end in std::mem::take(&mut self.here) {
            loop {
                let mut line = String::new();
                while let Some(character) = self.rest.next_if(|c| *c != '\n') {
                    line.push(character);
                }
                if self.rest.next().is_none() || line.trim() == end {
                    break;
                }
            }
        }
    }

    /// A word without its quotes.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(character) = self.rest.peek().copied() {
            match character {
                ' ' | '\t' | '\r' | '\n' | ';' | '|' | '&' | '(' | ')' | '<' | '>' | '`' => break,
                '\'' | '"' => {
                    self.rest.next();
                    while let Some(inner) = self.rest.next() {
                        if inner == character {
                            break;
                        }
                        if inner == '\\' && character == '"' {
                            word.extend(self.rest.next());
                        } else {
                            word.push(inner);
                        }
                    }
                }
                '\\' => {
                    self.rest.next();
                    word.extend(self.rest.next());
                }
                _ => {
                    self.rest.next();
                    word.push(character);
                }
            }
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::super::Does::{Destroys, Nothing, Reads, Unknown, Writes};
    use super::does;

    #[test]
    fn the_strongest_command_of_a_text_counts() {
        for (text, expected) in [
            ("ls -la /app", Reads),
            ("cd /app && grep -rn 'rm -rf' . | head", Reads),
            ("sudo rm -rf /tmp/x", Destroys),
            ("FOO=1 timeout 30s rm x", Destroys),
            ("find . -name '*.o' -exec rm {} +", Destroys),
            ("ls | xargs -n 1 rm", Destroys),
            ("echo \"rm -rf /\"", Nothing),
            ("echo hi > out.txt", Writes),
            ("echo hi >&2", Nothing),
            ("ls 2>/dev/null", Reads),
            ("ls 2>&1 | tee log", Writes),
            ("cat > a.py <<'EOF'\nimport os\nrm -rf /\nEOF\nls", Writes),
            ("cat <<EOF\nrm -rf /\nEOF", Reads),
            ("bash -c 'rm x'", Destroys),
            ("echo $(rm x)", Destroys),
            ("git status && git diff", Reads),
            ("git push --force origin main", Destroys),
            ("git -C /repo commit -m 'drop table'", Writes),
            ("git checkout -- .", Writes),
            ("kubectl -n web get pods", Reads),
            ("kubectl rollout undo deploy/x", Destroys),
            ("docker compose down", Destroys),
            ("systemctl restart nginx", Writes),
            ("terraform plan", Reads),
            ("pip install x", Writes),
            ("cargo test --release", Reads),
            ("curl -s http://x/y", Reads),
            ("curl -X DELETE http://x/y", Destroys),
            ("curl -d a=b http://x/y", Writes),
            ("aws ec2 terminate-instances --instance-ids i", Destroys),
            ("psql -c 'delete from t'", Destroys),
            ("sed -i s/a/b/ f", Writes),
            ("sed -n 1,5p f", Reads),
            ("python train.py", Unknown),
            ("./run.sh", Unknown),
            ("python x.py; rm y", Destroys),
            ("if [ -f x ]; then rm x; fi", Destroys),
            ("for f in a b; do rm $f; done", Destroys),
            (": \"\"", Nothing),
            (":", Nothing),
            ("# a note", Nothing),
            ("echo a \\\n  b", Nothing),
            ("", Unknown),
            ("'", Nothing),
            ("<<", Nothing),
        ] {
            assert_eq!(does(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_of_any_length_and_shape_ends() {
        for text in ["bash -c ", "$(", "<<A\n", ">", "&", "\\", "'\"", "((("] {
            let _ = does(&text.repeat(500));
        }
    }
}
