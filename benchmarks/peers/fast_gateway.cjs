// fast-gateway on Node: proxies only, as its documentation sets it up.
const gateway = require('fast-gateway');
gateway({ routes: [{ prefix: '/api', prefixRewrite: '/api', target: 'http://127.0.0.1:@UPSTREAM@' }] }).start(@PORT@, '127.0.0.1');
