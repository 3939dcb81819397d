// SPDX-License-Identifier: GPL-2.0-or-later
// Java: several threads, a collector at work, the just-in-time compiler.
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public class Java {
	static String work(int n) throws Exception {
		MessageDigest d = MessageDigest.getInstance("SHA-256");
		TreeMap<Integer, String> map = new TreeMap<>();
		for (int i = 0; i < 6000; i++)
			map.put((i * 7919 + n) % 10007, Integer.toHexString(i * n));
		for (String s : map.values())
			d.update(s.getBytes("UTF-8"));
		StringBuilder b = new StringBuilder();
		for (byte x : d.digest())
			b.append(String.format("%02x", x));
		return b.toString();
	}

	public static void main(String[] args) throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(3);
		for (int turn = 0; turn < 90; turn++) {
			List<Future<String>> list = new ArrayList<>();
			for (int i = 0; i < 16; i++) {
				final int n = turn * 16 + i;
				list.add(pool.submit(() -> work(n)));
			}
			for (Future<String> f : list)
				System.out.println(turn + " " + f.get());
		}
		pool.shutdown();
	}
}
