# A Rack application that lets others send its files, by Rack::Sendfile: /accel/NAME by another route
# of the gateway, /sendfile/NAME by their path. FILES says where they are.
require "rack"

# As Rails' send_file has it: a body that has a path.
class FileBody
  attr_reader :to_path

  def initialize(path)
    @to_path = path
  end

  def each
    yield File.binread(@to_path)
  end
end

files = ENV.fetch("FILES")
download = lambda do |env|
  name = File.basename(Rack::Utils.unescape_path(env["PATH_INFO"]))
  fields = {"Content-Type" => Rack::Mime.mime_type(File.extname(name)), "Set-Cookie" => "last=#{name}",
            "Content-Disposition" => "attachment; filename=\"#{name}\""}
  [200, fields, FileBody.new(File.join(files, name))]
end

map("/accel") do
  use Rack::Sendfile, "X-Accel-Redirect", [[files, "/protected"]]
  run download
end

map("/sendfile") do
  use Rack::Sendfile, "X-Sendfile"
  run download
end
