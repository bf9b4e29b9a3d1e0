// Client HOST PORT METHOD REQUEST-HEX: makes the call, which must fail, and prints what Java's gRPC and com.google.rpc read of it.
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.PreconditionFailure;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCalls;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

public final class Client {
  // Passes bytes through as they are.
  private static final MethodDescriptor.Marshaller<byte[]> RAW = new MethodDescriptor.Marshaller<byte[]>() {
    @Override
    public InputStream stream(byte[] value) {
      return new ByteArrayInputStream(value);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        return stream.readAllBytes();
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  };

  private static byte[] fromHex(String text) {
    byte[] bytes = new byte[text.length() / 2];
    for (int i = 0; i < bytes.length; ++i) {
      bytes[i] = (byte) Integer.parseInt(text.substring(2 * i, 2 * i + 2), 16);
    }
    return bytes;
  }

  private static String quoted(String text) {
    StringBuilder out = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      out.append(c == '"' || c == '\\' || c < ' ' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
    }
    return out.append('"').toString();
  }

  private static String list(String... words) {
    List<String> parts = new ArrayList<>();
    for (String word : words) {
      parts.add(quoted(word));
    }
    return "[" + String.join(",", parts) + "]";
  }

  private static void print(com.google.rpc.Status status) throws InvalidProtocolBufferException {
    String reason = "";
    String domain = "";
    List<String> metadata = new ArrayList<>();
    List<String> fields = new ArrayList<>();
    List<String> violations = new ArrayList<>();
    for (Any detail : status.getDetailsList()) {
      // Debian's com.google.rpc is older than ErrorInfo, whose class the test generates.
      if (detail.getTypeUrl().equals("type.googleapis.com/google.rpc.ErrorInfo")) {
        google.rpc.ErrorDetails.ErrorInfo info = google.rpc.ErrorDetails.ErrorInfo.parseFrom(detail.getValue());
        reason = info.getReason();
        domain = info.getDomain();
        for (Map.Entry<String, String> one : new TreeMap<>(info.getMetadataMap()).entrySet()) {
          metadata.add(quoted(one.getKey()) + ":" + quoted(one.getValue()));
        }
      } else if (detail.is(BadRequest.class)) {
        for (BadRequest.FieldViolation one : detail.unpack(BadRequest.class).getFieldViolationsList()) {
          fields.add(list(one.getField(), one.getDescription()));
        }
      } else if (detail.is(PreconditionFailure.class)) {
        for (PreconditionFailure.Violation one : detail.unpack(PreconditionFailure.class).getViolationsList()) {
          violations.add(list(one.getType(), one.getSubject(), one.getDescription()));
        }
      }
    }
    System.out.println("{\"code\":" + status.getCode() + ",\"message\":" + quoted(status.getMessage())
        + ",\"reason\":" + quoted(reason) + ",\"domain\":" + quoted(domain)
        + ",\"metadata\":{" + String.join(",", metadata) + "},\"fields\":[" + String.join(",", fields)
        + "],\"violations\":[" + String.join(",", violations) + "]}");
  }

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel = NettyChannelBuilder.forAddress(arguments[0], Integer.parseInt(arguments[1]))
        .usePlaintext().build();
    MethodDescriptor<byte[], byte[]> method = MethodDescriptor.newBuilder(RAW, RAW)
        .setType(MethodDescriptor.MethodType.UNARY).setFullMethodName(arguments[2].substring(1)).build();
    try {
      ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT, fromHex(arguments[3]));
      throw new IllegalStateException("the call was to fail");
    } catch (StatusRuntimeException error) {
      print(StatusProto.fromThrowable(error));
    } finally {
      channel.shutdownNow();
    }
  }
}
