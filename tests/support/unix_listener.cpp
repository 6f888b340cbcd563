#include "support/unix_listener.hpp"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace scoregate::tests {

namespace {

std::string make_folder() {
    auto name = (std::filesystem::temp_directory_path() / "scoregate-unix-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    return name;
}

} // namespace

unix_listener::unix_listener(base::asio::io_context& io, int backlog)
    : folder_(make_folder()), path_(folder_ + "/model.sock"), acceptor_(io) {
    acceptor_.open();
    acceptor_.bind(path_);
    acceptor_.listen(backlog);
}

unix_listener::~unix_listener() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

} // namespace scoregate::tests
