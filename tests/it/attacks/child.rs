//! The gateway as a child process, for figures of its memory, its logs and its signals.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use examples::gateway::program;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use crate::gateway::{endpoint_table, in_time};

/// Marks the process that runs the gateway.
const CHILD: &str = "STEADFAST_TEST_GATEWAY";
/// A built program of the gateway. Without it, the test binary runs the same function.
const PROGRAM: &str = "STEADFAST_GATEWAY_PROGRAM";
/// The configuration comes through the standard input.
const ARGS: [&str; 2] = ["--config", "/dev/stdin"];

/// A gateway in its own process. It is killed at drop.
#[derive(Debug)]
pub(crate) struct GatewayProcess {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// The operators' address, if the configuration has one.
    admin: Option<SocketAddr>,
    output: Arc<Mutex<Vec<u8>>>,
    /// The thread that reads its standard error stops at the next line.
    deaf: Arc<AtomicBool>,
}

impl GatewayProcess {
    /// Starts a gateway over servers with these base URLs.
    pub(super) async fn over<'a>(urls: impl IntoIterator<Item = &'a str>) -> Self {
        let urls = urls.into_iter().enumerate();
        let tables = urls.map(|(n, url)| endpoint_table(&format!("e{n}"), url));
        Self::start(&tables.collect::<String>(), &[]).await
    }

    /// Starts a gateway with a configuration, which lacks only `listen`, and with variables.
    pub(crate) async fn start(config: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = program_of_gateway();
        command.env(CHILD, "1").env("RUST_LOG", "warn");
        command.envs(variables.iter().copied());
        let mut child = command.spawn().expect("a process");
        let config = format!("listen = '127.0.0.1:0'\n{config}");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(config.as_bytes()).expect("an open pipe");
        drop(stdin);

        let output = Arc::<Mutex<Vec<u8>>>::default();
        let (found, mut addresses) = unbounded_channel();
        let (never, deaf) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        collect(child.stdout.take().expect("a pipe"), &output, &found, never);
        collect(
            child.stderr.take().expect("a pipe"),
            &output,
            &found,
            deaf.clone(),
        );
        drop(found);
        let Some(addr) = in_time(addresses.recv()).await else {
            panic!("{}", text_of(&output));
        };
        let admin = match config.contains("\nadmin = ") {
            true => in_time(addresses.recv()).await,
            false => None,
        };
        Self {
            child,
            addr,
            admin,
            output,
            deaf,
        }
    }

    /// Returns the operators' address.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin.expect("an address in the configuration")
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.args([&format!("-{name}"), &self.child.id().to_string()]);
        assert!(kill.status().expect("a shell command").success(), "{name}");
    }

    /// Closes the other end of its standard error, as a terminal does. It must log at `info`.
    pub(crate) async fn close_terminal(&self) {
        self.deaf.store(true, Relaxed);
        // Its log line wakes the thread.
        self.signal("HUP");
        let closed = async {
            // The thread of the standard output goes on.
            while Arc::strong_count(&self.output) > 2 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        in_time(closed).await;
    }

    /// Lowers the limit of its descriptors.
    pub(crate) fn limit_descriptors(&self, limit: u64) {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &self.child.id().to_string()]);
        prlimit.arg(format!("--nofile={limit}"));
        assert!(prlimit.status().expect("a program").success());
    }

    /// Returns its exit code, or `None` while it runs.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child
            .try_wait()
            .expect("a child")
            .map(|status| status.code().unwrap_or(-1))
    }

    /// Returns its resident memory in KiB, now and at its peak.
    pub(super) fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a running process");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.expect("a number of KiB")
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Asserts that its peak is at most `bound` MiB above `before`, and prints both.
    pub(super) fn assert_memory(&self, attack: &str, before: u64, bound: u64) {
        let (now, peak) = self.memory();
        println!("{attack}: {before} KiB before, {now} KiB after, {peak} KiB at the peak");
        let grown = peak.saturating_sub(before);
        assert!(grown <= bound << 10, "{attack}: {grown} KiB more");
    }

    /// Returns all that it has printed.
    pub(super) fn output(&self) -> String {
        text_of(&self.output)
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program_of_gateway() -> Command {
    let mut command = match env::var_os(PROGRAM) {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(ARGS);
            command
        }
        None => {
            let mut command = Command::new(env::current_exe().expect("a path"));
            let test = "attacks::child::gateway_of_another_test";
            command.args(["--exact", "--nocapture", test]);
            command
        }
    };
    let (stdin, stdout, stderr) = (Stdio::piped(), Stdio::piped(), Stdio::piped());
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    command
}

/// Appends all lines to `output`, and sends the address of each line `… on http://…`.
fn collect(
    from: impl Read + Send + 'static,
    output: &Arc<Mutex<Vec<u8>>>,
    found: &UnboundedSender<SocketAddr>,
    deaf: Arc<AtomicBool>,
) {
    let (output, found) = (output.clone(), found.clone());
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            let address = text.split_once(" on http://").map(|(_, address)| address);
            if let Some(Ok(address)) = address.map(|address| address.trim().parse()) {
                // The test needs only the first ones.
                let _ = found.send(address);
            }
            output.lock().expect("no panic").append(&mut line);
            if deaf.load(Relaxed) {
                break;
            }
        }
    });
}

fn text_of(output: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&output.lock().expect("no panic")).into_owned()
}

/// Runs the gateway if [`GatewayProcess`] has started this process, and does nothing otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn gateway_of_another_test() -> ExitCode {
    if env::var_os(CHILD).is_none() {
        return ExitCode::SUCCESS;
    }
    let args = ["gateway"].into_iter().chain(ARGS);
    program(args.map(OsString::from)).await
}
