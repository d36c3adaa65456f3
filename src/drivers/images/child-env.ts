const { NODE_COMPILE_CACHE } = process.env;

/**
 * The environment of the programs that are started here. Without its compile cache, a Node among them would keep in memory
 * what strips the types from its sources, 12 MB.
 */
export const CHILD_ENV: NodeJS.ProcessEnv = {
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
  ...(NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE }),
};
