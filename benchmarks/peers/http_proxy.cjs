// Node's http-proxy: proxies only.
const http = require('http');
const proxy = require('http-proxy').createProxyServer({
  target: 'http://127.0.0.1:@UPSTREAM@', agent: new http.Agent({ keepAlive: true, maxSockets: 256 }),
});
proxy.on('error', (error, request, response) => { response.writeHead(502); response.end(); });
http.createServer((request, response) => proxy.web(request, response)).listen(@PORT@, '127.0.0.1', 4096);
