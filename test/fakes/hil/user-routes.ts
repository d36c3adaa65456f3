import { type Route, route } from "./route.ts";
import { duplicate, HilError, missing, requireAdmin } from "./world.ts";

/** Of the authentication by HIL's own database. */
export const userRoutes: Route[] = [
  route("GET /auth/basic/users", {}, ({ world, caller }) => {
    requireAdmin(caller);
    return Object.fromEntries(
      [...world.users].map(([name, user]) => [name, { is_admin: user.admin, projects: [...user.projects] }]),
    );
  }),
  route("PUT /auth/basic/user/:user", { password: "string", is_admin: "boolean?" }, ({ world, caller, path, args }) => {
    requireAdmin(caller);
    const [name = ""] = path;
    if (world.users.has(name)) duplicate(`User ${name}`);
    world.users.set(name, { password: args.password, admin: args.is_admin ?? false, projects: new Set() });
  }),
  route("PATCH /auth/basic/user/:user", { is_admin: "boolean" }, ({ world, caller, path: [name = ""], args }) => {
    requireAdmin(caller);
    const user = world.users.get(name) ?? missing(`User ${name}`);
    if (name === caller.name) throw new HilError("IllegalStateError", "Cannot set own admin status");
    user.admin = args.is_admin;
  }),
  route("POST /auth/basic/user/:user/add_project", { project: "string" }, ({ world, caller, path, args }) => {
    requireAdmin(caller);
    const [name = ""] = path;
    const user = world.users.get(name) ?? missing(`User ${name}`);
    if (user.projects.has(world.project(args.project))) duplicate(`User ${name} in the project`);
    user.projects.add(args.project);
  }),
  route("POST /auth/basic/user/:user/remove_project", { project: "string" }, ({ world, caller, path, args }) => {
    requireAdmin(caller);
    const [name = ""] = path;
    const user = world.users.get(name) ?? missing(`User ${name}`);
    if (!user.projects.delete(world.project(args.project))) missing(`User ${name} in the project`);
  }),
];
