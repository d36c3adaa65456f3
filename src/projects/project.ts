/** A tenant: owns nodes, images and disks, which name it. Its name is its identity and never changes. */
export type ProjectRecord = {
  name: string;
  description?: string;
  createdAt: number;
  requestedBy: string;
};

/** The project that is always there. */
export const DEFAULT_PROJECT = "default";
