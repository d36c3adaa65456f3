/** An immutable, bootable image. A golden image was imported; a snapshot was taken from a disk: one type, `origin` tells. */
export type ImageRecord = {
  id: string;
  name: string;
  project: string;
  origin:
    | { kind: "import"; source: string; format: "raw" | "qcow2" }
    | { kind: "snapshot"; disk: string; clean: boolean };
  sizeBytes: number;
  /** SHA-256 of the raw content, hex; known for imports. */
  sha256?: string;
  /** Whether its OS phones home (POST /boot/:mac/ready), so that provision waits for it. */
  phonesHome: boolean;
  /** False until its content is whole: only then can it be cloned. */
  ready: boolean;
  createdAt: number;
  requestedBy: string;
};
