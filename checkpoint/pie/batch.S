/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/pie/batch.S - the only code that is put into a task: runs a list of system calls and stops at int3.
 * In: r15 = first struct ckpt_call, r14 = how many.  Uses no stack.  Out: r14 = how many are left (not 0: the one at r15 failed).
 * Layout of an entry: nr, 6 arguments, result, "must succeed", two addresses where the result is also to be
 * stored (0: nowhere). */
	.section .rodata
	.globl	ckpt_batch_code
	.globl	ckpt_batch_code_end
	.balign	8
ckpt_batch_code:
1:	test	%r14, %r14
	jz	4f
	mov	(%r15), %rax
	mov	8(%r15), %rdi
	mov	16(%r15), %rsi
	mov	24(%r15), %rdx
	mov	32(%r15), %r10
	mov	40(%r15), %r8
	mov	48(%r15), %r9
	syscall
	mov	%rax, 56(%r15)
	mov	72(%r15), %rbx
	test	%rbx, %rbx
	jz	2f
	mov	%rax, (%rbx)
2:	mov	80(%r15), %rbx
	test	%rbx, %rbx
	jz	5f
	mov	%rax, (%rbx)
5:	cmpq	$0, 64(%r15)
	je	3f
	cmp	$-4095, %rax
	jae	4f
3:	add	$88, %r15
	dec	%r14
	jmp	1b
4:	int3
	.balign	8
ckpt_batch_code_end:
	.section .note.GNU-stack, "", @progbits
