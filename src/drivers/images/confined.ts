/** Debian's `nobody`. */
const NOBODY = "65534";
const GIB = 1024 ** 3;
const CPU_SECONDS = 6 * 3600;

export type Limits = {
  /** Of the largest file that it may write; 0 for a program that only writes to pipes. */
  fileBytes: number;
};

/**
 * The command that runs `command`, which parses what strangers made, as nobody: with no capability, in a root of its own
 * that holds the system's programs and libraries alone (/usr, read-only), without network, and out of sight of all
 * processes. Of files it has the descriptors that it inherits, and reaches them under /proc/self/fd as far as nobody may.
 * Memory, processor time and file size are limited. It ends with its parent.
 */
export function confined(command: string[], { fileBytes }: Limits): string[] {
  return [
    ["nice", "-n", "10", "ionice", "-c", "3"],
    // by unshare: bwrap would set up a loopback interface, which takes more rights
    ["unshare", "--net", "bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
    ["--die-with-parent", "--new-session", "--cap-drop", "ALL"],
    ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"],
    ["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"],
    ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev", "--chdir", "/", "--remount-ro", "/", "--"],
    ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--no-new-privs"],
    ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"],
    ["prlimit", `--as=${2 * GIB}`, `--cpu=${CPU_SECONDS}`, `--fsize=${fileBytes}`, "--nofile=256", "--core=0"],
    command,
  ].flat();
}
