import { relative, resolve } from "node:path";

/** The user of unprivileged programs in tests and in the lab. */
export const NOBODY = 65534;

const repository = resolve(import.meta.dirname, "../..");

// Later mounts and unmounts of the machine still arrive (slave), the bind mount never leaves.
const SCRIPT =
  'mount --bind "$1" "$2" && cd "$2" && shift 2 && ' +
  "exec setpriv --reuid=$0 --regid=$0 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs -- " +
  '"$@"';

/**
 * The argument vector that runs another one as user nobody, without any capability. The repository may lie where only root
 * may look: nobody finds it at `mountPoint`, in a mount namespace of its own; words of `argv` that lie in it are moved there.
 */
export function asNobody(argv: string[], mountPoint = "/mnt"): string[] {
  const moved = argv.map((word) =>
    word.startsWith(`${repository}/`) ? resolve(mountPoint, relative(repository, word)) : word,
  );
  const apart = ["unshare", "--mount", "--propagation", "slave", "--", "sh", "-c", SCRIPT];
  return [...apart, String(NOBODY), repository, mountPoint, ...moved];
}
