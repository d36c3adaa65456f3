/** The configuration of an nginx that serves the files of `root` as fast as it can: sendfile, no log, one worker. */
export function nginxConfig(root: string, folder: string, address: string, port: number): string {
  return `
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx-error.log;
user root;
worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path ${folder}/nginx-body;
  proxy_temp_path ${folder}/nginx-proxy;
  fastcgi_temp_path ${folder}/nginx-fastcgi;
  uwsgi_temp_path ${folder}/nginx-uwsgi;
  scgi_temp_path ${folder}/nginx-scgi;
  server { listen ${address}:${port}; location /assets/ { alias ${root}/; } }
}
`;
}
