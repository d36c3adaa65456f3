/** What an image file may be: a bare disk, or one of the formats of virtual machines. Stated, never probed. */
export const IMAGE_FORMATS = ["raw", "qcow2", "vmdk", "vhdx", "vdi"] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** What the file may be packed with on top of its format. Stated, never probed. */
export const COMPRESSIONS = ["none", "gz", "xz", "zst"] as const;
export type Compression = (typeof COMPRESSIONS)[number];
