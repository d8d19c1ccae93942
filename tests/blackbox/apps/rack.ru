# A Rack application, for puma.
run lambda { |env|
  body = env['rack.input'] ? env['rack.input'].read.bytesize : 0
  [200, { 'Content-Type' => 'text/plain' },
   ["pid=#{Process.pid} path=#{env['PATH_INFO']} query=#{env['QUERY_STRING']} got=#{body} host=#{env['HTTP_HOST']}"]]
}
