// Concrete Asio types of the data plane: one io_context per core, no strand, no type-erased executor. Awaits return
// their error_code as the first element of a tuple; nothing throws.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace scoregate::base {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

using executor = asio::io_context::executor_type;
using tcp_socket = asio::basic_stream_socket<tcp, executor>;
using tcp_acceptor = asio::basic_socket_acceptor<tcp, executor>;
using tick_timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, executor>;

template <class T = void>
using task = asio::awaitable<T, executor>;

inline constexpr asio::as_tuple_t<asio::use_awaitable_t<executor>> awaited{};

} // namespace scoregate::base
